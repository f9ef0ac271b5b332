/** A Dockerfile as a list of instructions by stage. Of the syntax it knows what deploy/images/Dockerfile uses; anything else is an error. */
export interface Instruction {
  /** In capitals, e.g. `COPY`. */
  readonly keyword: string;
  /** Everything behind it, continued lines joined. */
  readonly text: string;
  readonly line: number;
}

export interface Stage {
  readonly base: string;
  readonly name: string;
  readonly instructions: readonly Instruction[];
}

export function parseDockerfile(text: string): readonly Stage[] {
  const stages: { base: string; name: string; instructions: Instruction[] }[] = [];
  for (const instruction of instructionsOf(text)) {
    if (instruction.keyword === 'FROM') {
      const [, base, name] = /^(\S+)\s+AS\s+(\S+)$/i.exec(instruction.text) ?? [];
      if (base === undefined || name === undefined) throw new Error(`line ${instruction.line}: FROM needs a name: FROM image AS name`);
      stages.push({ base, name, instructions: [] });
    } else if (stages.length === 0) {
      throw new Error(`line ${instruction.line}: ${instruction.keyword} stands before the first FROM`);
    } else {
      stages.at(-1)!.instructions.push(instruction);
    }
  }
  return stages;
}

function* instructionsOf(text: string): Generator<Instruction> {
  let joined = '';
  let line = 0;
  for (const [index, raw] of text.split('\n').entries()) {
    if (/^\s*#/.test(raw)) continue;
    if (joined === '') line = index + 1;
    joined += raw.replace(/\\$/, ' ');
    if (raw.endsWith('\\')) continue;
    const [, keyword, rest] = /^\s*([A-Za-z]+)\s+([\s\S]+?)\s*$/.exec(joined) ?? [];
    if (keyword !== undefined) yield { keyword: keyword.toUpperCase(), text: rest!.replace(/\s+/g, ' '), line };
    else if (joined.trim() !== '') throw new Error(`line ${line}: no instruction: ${joined.trim()}`);
    joined = '';
  }
}

export interface Copy {
  readonly from: string | null;
  readonly chown: string | null;
  readonly sources: readonly string[];
  readonly target: string;
}

export function parseCopy(text: string): Copy {
  const words = text.split(' ');
  const flags = new Map<string, string>();
  while (words[0]?.startsWith('--') === true) {
    const [, name, value] = /^--([a-z]+)=(.+)$/.exec(words.shift()!) ?? [];
    if (name !== 'from' && name !== 'chown') throw new Error(`COPY ${text}: unknown flag`);
    flags.set(name, value!);
  }
  const target = words.pop();
  if (target === undefined || words.length === 0) throw new Error(`COPY ${text}: from where to where?`);
  return { from: flags.get('from') ?? null, chown: flags.get('chown') ?? null, sources: words, target };
}

/** What reaches the builder: the last line of .dockerignore that names a file, or a folder above it, decides. */
export function createIgnore(text: string): (path: string) => boolean {
  const rules = text.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#')).map((line) => ({ ignores: !line.startsWith('!'), pattern: patternOf(line.replace(/^!/, '')) }));
  return (path) => {
    const parts = path.split('/');
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    return rules.findLast(({ pattern }) => prefixes.some((prefix) => pattern.test(prefix)))?.ignores ?? false;
  };
}

function patternOf(glob: string): RegExp {
  const source = glob.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('**/', '\u0000').replaceAll('*', '[^/]*').replaceAll('\u0000', '(?:.*/)?');
  return new RegExp(`^${source}$`);
}
