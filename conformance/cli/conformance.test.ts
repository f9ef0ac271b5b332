/** `agentos conformance` as somebody with an adapter of their own meets it: from a folder elsewhere, on files of theirs. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { validators } from '../../generated/validators/schemas.js';
import type { ConformanceReport } from '../../generated/types/index.ts';
import { verifies } from '../http/verifies.ts';
import { AdapterFileError, loadAdapter } from '../ports/external-adapter.ts';
import { suites } from '../ports/suites/index.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LIMIT_MS = 90_000;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'somebody-else-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line from its source, whatever has been built, in a folder outside of the clone. */
function agentos(...args: readonly string[]): Promise<Outcome> {
  const command = ['--import', join(ROOT, 'node_modules/tsx/dist/esm/index.mjs'), join(ROOT, 'scripts/agentos.ts'), 'conformance', ...args];
  const env = { PATH: process.env['PATH'], HOME: folder, AGENTOS_HOME: join(folder, 'home'), NO_COLOR: '1' };
  return new Promise((resolve) => execFile(process.execPath, command, { cwd: folder, env, timeout: LIMIT_MS }, (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr })));
}

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return `./${name}`;
}

function reportOn(port: string): { readonly json: ConformanceReport; readonly markdown: string } {
  const stem = readdirSync(join(folder, 'home/reports')).filter((name) => name.startsWith(`conformance-${port}-`) && name.endsWith('.json')).map((name) => name.slice(0, -5)).sort().at(-1)!;
  const read = (ending: string): string => readFileSync(join(folder, 'home/reports', stem + ending), 'utf8');
  return { json: JSON.parse(read('.json')) as ConformanceReport, markdown: read('.md') };
}

const statusOf = (report: ConformanceReport, behaviour: string): string | undefined => report.checks.find((check) => check.behaviour === behaviour)?.status;
const HIDES = 'hides memory from every other tenant';

describe('an adapter in one file', () => {
  it('passes, and leaves a report', verifies(['PRS-5.3-01', 'PRS-11.2-01'], async () => {
    const outcome = await agentos('--port', 'memory', '--adapter', join(ROOT, 'examples/custom-adapter/json-file-memory.ts'));
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(outcome.stdout).toMatch(/memory · json-file: \d+ passed/);
    const { json, markdown } = reportOn('memory');
    expect(validators.ConformanceReport(json), JSON.stringify(validators.ConformanceReport.errors)).toBe(true);
    expect(json).toMatchObject({ outcome: 'ok', port: 'memory', adapter: 'json-file', error: null, totals: { failed: 0 } });
    expect(json.totals.passed).toBeGreaterThan(20);
    expect(statusOf(json, HIDES)).toBe('passed');
    expect(markdown).toContain('# agentos conformance, port memory: ok');
  }), LIMIT_MS);

  it('fails when it mixes tenants up, and the report names that', verifies(['PRS-11.2-02'], async () => {
    const outcome = await agentos('--port', 'memory', '--adapter', join(ROOT, 'examples/custom-adapter/broken-twin.ts'), '--json');
    expect(outcome.code).toBe(1);
    const { json, markdown } = reportOn('memory');
    expect(JSON.parse(outcome.stdout)).toEqual(json);
    expect(json.outcome).toBe('failed');
    expect([statusOf(json, HIDES), statusOf(json, "answers another tenant's object as one that does not exist"), statusOf(json, 'keeps any JSON value')]).toEqual(['failed', 'failed', 'passed']);
    expect(json.checks.find((check) => check.behaviour === HIDES)!.detail).toMatch(/to be null/);
    expect(markdown).toMatch(/## What failed[\s\S]*tenants: hides memory from every other tenant/);
  }), LIMIT_MS);

  it('may be plain JavaScript that lies anywhere and imports nothing', async () => {
    const adapter = file('my-agents.js', `
      const tenants = new Map();
      const of = (auth) => tenants.get(auth.tenant_id) ?? tenants.set(auth.tenant_id, new Map()).get(auth.tenant_id);
      export default { port: 'agents', adapter: 'mine', create: ({ AgentOsError }) => ({ agents: {
        capabilities: () => ({ adapter: 'somebody', contractVersion: '2.0', durable: false, features: ['telepathy'] }),
        async get(auth, id) { const a = of(auth).get(id); if (!a) throw new AgentOsError('not_found', { message: 'There is no agent ' + id + '.', details: { agent_id: id } }); return structuredClone(a); },
        async list(auth, { limit, after = '' }) { const all = [...of(auth).values()].filter((a) => a.agentId > after).sort((a, b) => a.agentId < b.agentId ? -1 : 1); return structuredClone({ agents: all.slice(0, limit), hasMore: all.length > limit }); },
        async put(auth, agent) { const now = new Date().toISOString(); const old = of(auth).get(agent.agentId); const next = { createdAt: now, ...old, ...structuredClone(agent), tenantId: auth.tenant_id, updatedAt: now }; of(auth).set(agent.agentId, next); return structuredClone(next); },
        ...Object.fromEntries(['create', 'replace', 'update', 'delete', 'versions', 'listVersions', 'rollBack', 'getVersion'].map((name) => [name, async () => { throw new Error('not written yet'); }])),
      } }) };`);
    const outcome = await agentos('--port', 'agents', '--adapter', adapter);
    expect(outcome.code, outcome.stderr).toBe(1);
    const { json } = reportOn('agents');
    expect(statusOf(json, 'declares only features that the port knows')).toBe('failed');
    expect(statusOf(json, 'speaks this version of the contract; another major would be refused before anything starts')).toBe('failed');
    expect(statusOf(json, "answers another tenant's object as one that does not exist")).toBe('passed');
  }, LIMIT_MS);
});

describe('what cannot be used', () => {
  const cases: ReadonlyArray<readonly [string, () => readonly string[], RegExp]> = [
    ['no port', () => ['--adapter', './x.js'], /--port and --adapter are both needed/],
    ['a port that there is not', () => ['--port', 'teleport', '--adapter', file('a.js', '')], /no port "teleport"[\s\S]*memory/],
    ['a file that there is not', () => ['--port', 'memory', '--adapter', './absent.js'], /no file .*absent\.js/],
    ['methods that are missing', () => ['--port', 'memory', '--adapter', file('half.js', "export default { port: 'memory', adapter: 'x', create: () => ({ memory: { capabilities() {}, put() {}, get() {}, delete() {} } }) };")], /has no list\(\), search\(\)[\s\S]*ports\/memory\.ts/],
  ];

  it.each(cases)('%s: says so and exits with 2', async (_name, args, words) => {
    const outcome = await agentos(...args());
    expect(outcome.stderr).toMatch(words);
    expect(outcome.stderr).not.toMatch(/^\s+at .*node_modules/m);
    expect(outcome.code).toBe(2);
  }, LIMIT_MS);

  const files: ReadonlyArray<readonly [string, string, RegExp]> = [
    ['what is not JavaScript', 'export default {', /cannot be loaded/],
    ['an import that there is not', "import 'no-such-package';\nexport default {};", /cannot be loaded.*no-such-package/],
    ['no default export', 'export const memory = {};', /no default export that is a factory \(it exports memory\)/],
    ['a factory of another port', "export default { port: 'queue', adapter: 'x', create() {} };", /is for the port 'queue', and --port says 'memory'/],
    ['no adapter name', "export default { port: 'memory', create() {} };", /has no `adapter`/],
    ['no create', "export default { port: 'memory', adapter: 'x' };", /no function `create`/],
    ['a create that fails', "export default { port: 'memory', adapter: 'x', create() { throw new Error('no licence'); } };", /create\(\) of .* failed: no licence/],
    ['a create that answers nothing', "export default { port: 'memory', adapter: 'x', create() {} };", /answered undefined; it answers an object that holds memory/],
    ['a harness without the instance', "export default { port: 'memory', adapter: 'x', create: () => ({ store: {} }) };", /lacks memory/],
  ];

  it.each(files)('a file with %s is told apart', async (name, text, words) => {
    const path = join(folder, file(`${name.replaceAll(' ', '-')}.js`, text));
    await expect(loadAdapter(path, 'memory')).rejects.toThrow(words);
    await expect(loadAdapter(path, 'memory')).rejects.toBeInstanceOf(AdapterFileError);
  });
});

describe('--list', () => {
  it('names every port with the parts of its suite', async () => {
    const outcome = await agentos('--list', '--json');
    expect(outcome.code, outcome.stderr).toBe(0);
    const { ports } = JSON.parse(outcome.stdout) as { ports: { port: string; parts: { part: string; behaviours: string[] }[] }[] };
    expect(ports.map(({ port }) => port).sort()).toEqual(Object.keys(suites).sort());
    expect(ports.find(({ port }) => port === 'memory')!.parts.find(({ part }) => part === 'tenants')!.behaviours).toEqual([HIDES]);
    for (const { port, parts } of ports) expect(parts.map(({ part }) => part), port).toEqual(expect.arrayContaining(['contract › declaration', 'contract › errors', 'contract › outage']));
  }, LIMIT_MS);
});
