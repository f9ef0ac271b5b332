/** The laws of docs/architecture.md, derived from the sources themselves each time. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifies } from '../http/verifies.ts';
import { exceptions, type Law } from './exceptions.ts';
import { exportedValuesOf, functionsOf, parseSource, readSources, ROOT, type SourceFile } from './sources.ts';

const MAX_FUNCTION_LINES = 70;
const MAX_FILE_LINES = 400;
const MAX_TEST_FILE_LINES = 600;
const DOMAIN_FOLDERS = ['runtime', 'memory', 'router', 'policy', 'budgets'];
const FORBIDDEN_NAMES = /(^|[-.])(utils?|helpers?|manager|impl|misc|common)([-.]|$)/;
const SERVICES = ['agent-orchestrator', 'model-policy', 'federation', 'gateway'];

/** Handlers that platform/http/health.ts makes for every service. */
const SERVED_BY_PLATFORM = /Health$|^getReadiness$|^getMetrics$/;

const sources = readSources();
const byPath = new Map(sources.map((source) => [source.path, source]));
/** Suites and the harness are read as tests are: long lists of cases. */
const isTestCode = (source: SourceFile): boolean => source.isTest || source.path.startsWith('conformance/');

/** Compares what breaks a law with its exceptions, both ways. */
function expectLaw(law: Law, broken: ReadonlyMap<string, string>): void {
  const known = exceptions[law];
  expect([...broken].filter(([place]) => !(place in known)).map(([place, what]) => `${place}: ${what}`), `law ${law}`).toEqual([]);
  expect(Object.keys(known).filter((place) => !broken.has(place)), `stale exceptions of ${law}: remove them`).toEqual([]);
}

describe('size', () => {
  it(`no function is longer than ${MAX_FUNCTION_LINES} lines`, () => {
    const broken = new Map<string, string>();
    for (const source of sources) {
      for (const span of functionsOf(source)) {
        if (span.lines > MAX_FUNCTION_LINES) broken.set(`${source.path}#${span.name}`, `${span.lines} lines at ${span.line}`);
      }
    }
    expectLaw('function-length', broken);
  });

  it(`no file is longer than ${MAX_FILE_LINES} lines, no test than ${MAX_TEST_FILE_LINES}`, () => {
    const broken = new Map<string, string>();
    for (const source of sources) {
      const limit = isTestCode(source) ? MAX_TEST_FILE_LINES : MAX_FILE_LINES;
      if (source.lines > limit) broken.set(source.path, `${source.lines} lines`);
    }
    expectLaw('file-length', broken);
  });

  it('most files are short', () => {
    const lines = sources.filter((source) => !isTestCode(source)).map((source) => source.lines).sort((a, b) => a - b);
    expect(lines[Math.floor(lines.length / 2)]).toBeLessThan(110);
  });
});

describe('layers', () => {
  it('the rules know no adapter, web framework or database driver', verifies(['PRS-5.1-01'], () => {
    const broken = new Map<string, string>();
    for (const source of sources) {
      if (source.isTest || !source.path.startsWith('services/')) continue;
      if (!source.path.split('/').some((part) => DOMAIN_FOLDERS.includes(part))) continue;
      for (const { specifier, target } of source.imports) {
        const bad = /^(express|knex|pg|undici|node:http)(\/|$)/.test(specifier) || target?.includes('/adapters/') === true || target?.includes('platform/db/') === true;
        if (bad) broken.set(source.path, `imports ${specifier}`);
      }
    }
    expectLaw('domain-imports', broken);
  }));

  it('no service imports another', verifies(['PRS-1-04'], () => {
    const broken: string[] = [];
    for (const service of SERVICES) {
      for (const source of sources.filter((candidate) => candidate.path.startsWith(`services/${service}/`))) {
        for (const { target } of source.imports) {
          if (SERVICES.some((other) => other !== service && target?.startsWith(`services/${other}/`))) broken.push(`${source.path} imports ${target}`);
        }
      }
    }
    expect(broken).toEqual([]);
  }));

  it('the platform imports no service', () => {
    const broken = sources.filter((source) => source.path.startsWith('services/platform/'))
      .flatMap((source) => source.imports.filter(({ target }) => SERVICES.some((service) => target?.startsWith(`services/${service}/`))).map(({ target }) => `${source.path} imports ${target}`));
    expect(broken).toEqual([]);
  });

  it('ports import no adapter and no rule', () => {
    const broken = sources.filter((source) => /\/ports\//.test(source.path) && source.path.startsWith('services/'))
      .flatMap((source) => source.imports.filter(({ target }) => /\/(adapters|runtime|router|policy|api)\//.test(target ?? '')).map(({ target }) => `${source.path} imports ${target}`));
    expect(broken).toEqual([]);
  });

  it('no import leads in a circle', () => {
    const broken = new Map(cycles(byPath).map((cycle) => [cycle[0]!, cycle.join(' → ')]));
    expectLaw('cycles', broken);
  });
});

/** Cycles over imports that exist at run time. */
function cycles(files: ReadonlyMap<string, SourceFile>): string[][] {
  const state = new Map<string, 'open' | 'done'>();
  const found: string[][] = [];
  const visit = (path: string, trail: string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      found.push([...trail.slice(trail.indexOf(path)), path]);
      return;
    }
    state.set(path, 'open');
    for (const { target, typeOnly } of files.get(path)?.imports ?? []) {
      if (target !== null && !typeOnly && files.has(target)) visit(target, [...trail, path]);
    }
    state.set(path, 'done');
  };
  for (const path of files.keys()) visit(path, []);
  return found;
}

describe('contract', () => {
  it("every service's api/index.ts ends in satisfies …Handlers", () => {
    for (const service of SERVICES.filter((name) => byPath.has(`services/${name}/compose.ts`) && name !== 'gateway')) {
      const index = byPath.get(`services/${service}/api/index.ts`);
      expect(index?.text ?? '', `services/${service}/api/index.ts`).toMatch(/satisfies \w+Handlers\b/);
    }
  });

  it('a file of api/ is named as the operation that it serves', () => {
    const broken: string[] = [];
    for (const service of SERVICES) {
      const handled = handledOperations(service);
      for (const source of sources.filter((candidate) => candidate.path.startsWith(`services/${service}/api/`) && !candidate.isTest)) {
        const name = basename(source.path, '.ts');
        if (/^[a-z][a-z0-9]*[A-Z]/.test(name) && !handled.has(name)) broken.push(`${source.path} serves no operation of ${service}`);
      }
      for (const operationId of handled) {
        if (!SERVED_BY_PLATFORM.test(operationId) && byPath.has(`services/${service}/compose.ts`) && !byPath.has(`services/${service}/api/${operationId}.ts`)) broken.push(`services/${service}/api/${operationId}.ts is missing`);
      }
    }
    expect(broken).toEqual([]);
  });

  it('the statuses of errors are decided in one file', () => {
    const deciders = sources.filter((source) => source.path.startsWith('services/') && !source.isTest && /ERROR_CODES\[[^\]]+\]\.status\b|\.statuses\b.*ERROR_CODES/.test(source.text));
    expect(deciders.map((source) => source.path)).toEqual(['services/platform/http/errors.ts']);
  });
});

/** Operation ids whose handler a service must have; planned ones and aliases have none. */
function handledOperations(service: string): Set<string> {
  let text = '';
  try {
    text = readFileSync(join(ROOT, `generated/handlers/${service}.ts`), 'utf8');
  } catch {
    return new Set();
  }
  const handlers = /export interface \w+Handlers \{([\s\S]*?)\n\}/.exec(text)?.[1] ?? '';
  return new Set([...handlers.matchAll(/^ {2}(?:readonly )?(\w+)\b/gm)].map((match) => match[1]!));
}

describe('names', () => {
  it('files are kebab-case and say what they hold', () => {
    const broken = new Map<string, string>();
    for (const source of sources) {
      const name = basename(source.path).replace(/(\.test|\.fixture|\.setup|\.config)?\.ts$/, '');
      const isOperation = /^services\/[^/]+\/api\//.test(source.path);
      if (!isOperation && !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) broken.set(source.path, 'not kebab-case');
      if (source.path.split('/').some((part) => FORBIDDEN_NAMES.test(part.replace(/\.ts$/, '')))) broken.set(source.path, 'a name that says nothing');
    }
    expectLaw('naming', broken);
  });

  it('types carry no I-, -Impl or -Manager', () => {
    const broken = sources.flatMap((source) => [...source.text.matchAll(/^export (?:abstract )?(?:class|interface|type) (\w+)/gm)]
      .filter((match) => /^I[A-Z][a-z]|(Impl|Manager|Helper|Utils?)$/.test(match[1]!)).map((match) => `${source.path}: ${match[1]}`));
    expect(broken).toEqual([]);
  });

  it('imports of our own files carry the .ts ending', () => {
    const broken = sources.flatMap((source) => source.imports.filter(({ specifier }) => specifier.startsWith('.') && !/\.(ts|js|json|mjs)$/.test(specifier)).map(({ specifier }) => `${source.path}: ${specifier}`));
    expect(broken).toEqual([]);
  });

  it('nothing is exported as default but what a tool or a registry loads', () => {
    const allowed = /(\.config\.ts|global-setup\.ts|\/factories\/[^/]+\.ts|scripts\/commands\/[^/]+\.ts|examples\/custom-adapter\/[^/]+\.ts)$/;
    const broken = sources.filter((source) => /^export default\b/m.test(source.text) && !allowed.test(source.path)).map((source) => source.path);
    expect(broken).toEqual([]);
  });
});

describe('exports', () => {
  it('are for somebody: no function, class or constant is exported that no other file names', () => {
    const namedBy = new Map<string, number>();
    for (const { text } of sources) for (const word of new Set(text.match(/\w+/g))) namedBy.set(word, (namedBy.get(word) ?? 0) + 1);
    // What the client library exports is for its users.
    const broken = sources.filter(({ path }) => !path.startsWith('sdk/src/')).flatMap((source) => exportedValuesOf(source).filter((name) => namedBy.get(name) === 1).map((name) => `${source.path}: ${name}`));
    expect(broken).toEqual([]);
  });
});

describe('tests', () => {
  it('replace no module', () => {
    const mocking = /\b(vi|jest)\.(mock|doMock|hoisted|unstable_mockModule)\(/;
    expect(sources.filter((source) => mocking.test(source.text)).map((source) => source.path)).toEqual([]);
  });

  it('none is skipped or singled out in the source', () => {
    const marked = /\b(it|test|describe)\.(only|todo|skip|fails)\(/;
    expect(sources.filter((source) => source.isTest && marked.test(source.text)).map((source) => source.path)).toEqual([]);
  });

  it('no source says that it is not implemented', () => {
    const confession = /^.*(?:\/\/|\/?\*+) .*\b(not implemented yet|TODO|FIXME|XXX)\b/m;
    const broken = sources.filter((source) => !source.path.startsWith('conformance/architecture/') && confession.test(source.text)).map((source) => source.path);
    expect(broken).toEqual([]);
  });
});

describe('the reading of sources', () => {
  it('sees exported values, and no types', () => {
    const text = 'export const a = 1, b = 2;\nexport async function c() {}\nexport class D {}\nexport type E = 1;\nexport interface F {}\nconst g = "export const h = 1";';
    expect(exportedValuesOf(parseSource('services/x.ts', text))).toEqual(['a', 'b', 'c', 'D']);
  });

  it('sees long functions wherever they hide, and headings over tests as headings', () => {
    const body = `${'  work();\n'.repeat(80)}`;
    const source = parseSource('services/x/runtime/a.ts', `export const long = () => {\n${body}};\nclass A { method() {\n${body}} }\ndescribe('x', () => {\n${body}});\n`);
    expect(functionsOf(source).map(({ name, lines }) => [name, lines])).toEqual([['long', 82], ['method', 82]]);
  });

  it('sees imports of every kind, and cycles over those that exist at run time', () => {
    const one = parseSource('services/x/a.ts', "import { b } from './b.ts';\nexport * from './c.ts';\nawait import('knex');\nimport type { D } from './d.ts';\n");
    expect(one.imports.map(({ specifier, typeOnly }) => [specifier, typeOnly])).toEqual([['./b.ts', false], ['./c.ts', false], ['knex', false], ['./d.ts', true]]);
    expect(one.imports[0]!.target).toBe('services/x/b.ts');
    const files = [one, parseSource('services/x/b.ts', "import { c } from './c.ts';"), parseSource('services/x/c.ts', "import { a } from './a.ts';"), parseSource('services/x/d.ts', "import { a } from './a.ts';")];
    expect(cycles(new Map(files.map((file) => [file.path, file])))).toEqual([['services/x/a.ts', 'services/x/b.ts', 'services/x/c.ts', 'services/x/a.ts']]);
  });
});
