import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { validators as federation } from '../../generated/validators/federation.js';
import { validators as modelPolicy } from '../../generated/validators/model-policy.js';
import { validators } from '../../generated/validators/agent-orchestrator.js';
import { compareWithTree } from '../../scripts/contract/drift.ts';
import { generateAll } from '../../scripts/contract/generation.ts';
import { markdownHeader, repositoryRoot } from '../../scripts/contract/paths.ts';
import { verifies } from '../http/verifies.ts';

const GENERATION_MS = 60_000;

let files: Map<string, string>;
beforeAll(async () => {
  files = await generateAll();
}, GENERATION_MS);

describe('generation', () => {
  it('leaves no difference in the working tree', verifies(['PL-04'], () => {
    expect(compareWithTree(files, repositoryRoot)).toEqual([]);
  }));

  it('gives the same bytes each time', async () => {
    expect(await generateAll()).toEqual(files);
  }, GENERATION_MS);

  it('says in every file that it is generated, and by what', () => {
    const silent = [...files].filter(([path, text]) => !path.startsWith('generated/openapi/') && !text.slice(0, 200).includes('npm run generate'));
    expect(silent.map(([path]) => path)).toEqual([]);
  });

  it('leaves no $id, $schema or foreign reference in a bundle', () => {
    for (const [path, text] of files) {
      if (path.startsWith('generated/openapi/')) expect(/"\$id"|"\$schema"|"\$ref": "[^#]/.test(text), path).toBe(false);
    }
  });

  it('makes validators that import nothing', () => {
    for (const [path, text] of files) if (/^generated\/validators\/.*\.js$/.test(path)) expect(/(?<!')\brequire\(|^import /m.test(text), path).toBe(false);
  });
});

describe('the drift check', () => {
  let root: string;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'agentos-drift-'));
    for (const [path, text] of files) write(path, text);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };

  it('passes a tree that is as generated', () => {
    expect(compareWithTree(files, root)).toEqual([]);
  });

  it('names a changed file and the line', verifies(['PL-04'], () => {
    const path = 'generated/types/error-codes.ts';
    write(path, files.get(path)!.replace('retryable: false', 'retryable: true'));
    expect(compareWithTree(files, root)).toEqual([{ kind: 'changed', path, evidence: expect.stringMatching(/^line \d+ should be .*retryable: false/) }]);
    write(path, files.get(path)!);
  }));

  it('names a missing file', () => {
    rmSync(join(root, 'generated/manifest.json'));
    expect(compareWithTree(files, root)).toEqual([{ kind: 'missing', path: 'generated/manifest.json', evidence: '' }]);
    write('generated/manifest.json', files.get('generated/manifest.json')!);
  });

  it('names a file that nothing generates, and leaves pages written by hand alone', () => {
    write('generated/types/old.ts', 'export {};');
    write('docs/reference/old.md', `${markdownHeader()}# Old`);
    write('docs/reference/by-hand.md', '# By hand');
    expect(compareWithTree(files, root).map(({ kind, path }) => `${kind} ${path}`)).toEqual(['left over docs/reference/old.md', 'left over generated/types/old.ts']);
  });
});

describe('generated validators', () => {
  it('coerce query members and fill in defaults, in place', () => {
    const query: Record<string, unknown> = { limit: '7' };
    expect(validators.listRuns.validateQuery!(query)).toBe(true);
    expect(query['limit']).toBe(7);
    const empty: Record<string, unknown> = {};
    expect(validators.listRuns.validateQuery!(empty)).toBe(true);
    expect(empty['limit']).toBe(50);
  });

  it.each(['-1', '1e30', 'text', '', '0', '1.5'])('refuse limit=%s and say where', (limit) => {
    expect(validators.listRuns.validateQuery!({ limit })).toBe(false);
    expect(validators.listRuns.validateQuery!.errors?.[0]?.instancePath).toBe('/limit');
  });

  it('refuse a cursor that is sent twice', () => {
    expect(validators.streamRunEvents.validateQuery!({ after_sequence: ['1', '2'] })).toBe(false);
  });

  it('know headers by their lower-case names', () => {
    expect(validators.createRun.validateHeaders!({ 'idempotency-key': 'k'.repeat(256) })).toBe(true);
    expect(validators.createRun.validateHeaders!({ 'idempotency-key': 'k'.repeat(257) })).toBe(false);
  });

  it('take bodies as they were sent: nothing coerced, nothing filled in', () => {
    const body = { input: 'hello', run_options: { priority: 'low' } };
    const sent = structuredClone(body);
    expect(validators.createRun.validateBody!(body)).toBe(true);
    expect(body).toEqual(sent);
    expect(validators.createRun.validateBody!({ input: 'hello', run_options: { max_steps: '3' } })).toBe(false);
    expect(validators.createRun.validateBody!.errors?.[0]?.instancePath).toBe('/run_options/max_steps');
  });

  it('check answers by status', () => {
    const error = { error: { code: 'not_found', message: 'No such run.', retryable: false, details: {} }, correlation_id: 'corr_1' };
    expect(validators.getRun.validateResponse[404]!(error)).toBe(true);
    expect(validators.getRun.validateResponse[200]!(error)).toBe(false);
  });

  it('exist for every service', () => {
    expect(modelPolicy.invokeModel.validateBody!({})).toBe(false);
    expect(federation.getPeerInfo.validateResponse[200]!({})).toBe(false);
  });
});
