/** Every command line in the documentation can be typed: the command, its actions and its options exist, and it begins with npx. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command as Program } from 'commander';
import { describe, expect, it } from 'vitest';
import type { Command } from '../../scripts/lib/command.ts';
import { declareCommand } from '../../scripts/lib/program.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COMMANDS = readdirSync(join(ROOT, 'scripts/commands')).filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
const commands = await Promise.all(COMMANDS.map(async (file) => ((await import(join(ROOT, 'scripts/commands', file))) as { command: Command }).command));
const DOCUMENTS = [
  'README.md', 'SECURITY.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.md')).map((file) => join('docs', file)),
];

interface Typed {
  readonly file: string;
  readonly words: readonly string[];
  readonly npx: boolean;
}

/** The words of one shell command from the beginning of `text` on: quotes are taken off, and it ends where the shell ends it. */
function wordsOf(text: string): string[] {
  const words: string[] = [];
  const rest = text.replace(/\\\n\s*/g, ' ');
  for (const [token] of rest.matchAll(/'[^']*'|"[^"]*"|<[a-z _]+>|\[[a-z_]+\]|[^\s'"<>|;&)#`]+|[ \t]+|[\s\S]/g)) {
    if (/^[\n|;&)#`><]$/.test(token)) break;
    if (/^[ \t]+$/.test(token)) words.push('');
    else words.push(`${words.pop() ?? ''}${token.replace(/^(['"])([\s\S]*)\1$/, '$2')}`);
  }
  return words.filter((word) => word !== '' && !/^\[[a-z]+\]$/.test(word));
}

/** Whatever stands in a code span or a block and begins like a command of ours. */
function* typedIn(file: string): Generator<Typed> {
  const text = readFileSync(join(ROOT, file), 'utf8');
  for (const [, block, span] of text.matchAll(/^ *```(?:bash|sh)\n([\s\S]*?)^ *```|`([^`\n]+)`/gm)) {
    const code = block ?? span ?? '';
    const pattern = block === undefined ? /^(?:[A-Z_]+=\S+ )*(npx )?agentos (?=[a-z-])/g : /(?<=^|[(;|] *|[A-Z_]+=\S+ )(npx )?agentos (?=[a-z-])/gm;
    for (const match of code.matchAll(pattern)) yield { file, words: wordsOf(code.slice(match.index + match[0].length)), npx: match[1] !== undefined };
  }
}

/** null, or what is wrong with it. */
function faultOf({ words }: Typed): string | null {
  if (words.length === 1 && /^--(?:help|version)$/.test(words[0]!)) return null;
  const command = commands.find(({ name }) => name === words[0]);
  if (command === undefined) return `there is no command ${words[0]}`;
  const program = new Program('agentos').exitOverride().configureOutput({ writeErr: () => undefined });
  const sub = declareCommand(program, command).configureOutput({ writeErr: () => undefined });
  // Prose names a command without what it needs (`agentos run`, `agentos tenants create`).
  for (const argument of sub.registeredArguments) argument.required = false;
  let given: readonly string[] = [];
  sub.action(() => { given = sub.args; });
  try {
    program.parse([...words], { from: 'user' });
  } catch (error) {
    return (error as Error).message;
  }
  const [first] = command.args ?? [];
  const known = `${first?.usage} ${first?.summary}`;
  const isAction = first !== undefined && /action|\|/.test(first.usage);
  return isAction && given[0] !== undefined && !new RegExp(`\\b${given[0]}\\b`).test(known) ? `${command.name} has no "${given[0]}"` : null;
}

describe('command lines in the documentation', () => {
  const typed = DOCUMENTS.flatMap((file) => [...typedIn(file)]);
  const tell = ({ file, words }: Typed): string => `${file}: agentos ${words.join(' ')}`;

  it('are found', () => {
    expect(typed.length).toBeGreaterThan(150);
    expect(new Set(typed.map(({ words }) => words[0])).size, 'most commands are explained somewhere').toBeGreaterThan(commands.length - 3);
    expect(wordsOf(`tenants update tnt_a --set '{\n "a": 1 }' --name "A B" > file # says`)).toEqual(['tenants', 'update', 'tnt_a', '--set', '{\n "a": 1 }', '--name', 'A B']);
    expect(faultOf({ file: '', npx: true, words: ['status', '--waiting'] })).toMatch(/unknown option/);
    expect(faultOf({ file: '', npx: true, words: ['tenants', 'rename', 'tnt_a'] })).toMatch(/has no "rename"/);
    expect(faultOf({ file: '', npx: true, words: ['stat'] })).toMatch(/no command/);
  });

  it('are understood', () => {
    expect(typed.map((each) => [tell(each), faultOf(each)] as const).filter(([, fault]) => fault !== null)).toEqual([]);
  });

  it('can be typed in the clone as they stand, without a global installation', () => {
    expect(typed.filter(({ npx }) => !npx).map(tell)).toEqual([]);
  });
});
