import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkGolden, checkNegativeTwins, goldenFolder, mutate } from '../../scripts/contract/golden.ts';
import { verifies } from '../http/verifies.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-golden-'));
  cpSync(goldenFolder, folder, { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function editJson<Content>(file: string, change: (value: Content) => void): void {
  const value = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Content;
  change(value);
  writeFileSync(join(folder, file), JSON.stringify(value));
}

describe('the golden payloads', () => {
  it('all satisfy their schemas', verifies(['PL-04'], async () => {
    expect((await checkGolden(folder)).problems).toEqual([]);
  }));

  it('may not be changed, nor refused', async () => {
    editJson('D.1-run-create.request.json', (value: { context?: { locale: unknown } }) => { value.context!.locale = 7; });
    const { problems } = await checkGolden(folder);
    expect(problems[0]).toContain('was changed');
    expect(problems[1]).toContain('/context/locale must be string');
  });

  it('may not be missing or unlisted', async () => {
    rmSync(join(folder, 'H-seed-outputs.json'));
    editJson('schemas.json', (value: { files: Record<string, unknown> }) => delete value.files['H-seed-outputs.json']);
    writeFileSync(join(folder, 'Z.9-new.json'), '{}');
    const { problems } = await checkGolden(folder);
    expect(problems).toEqual([expect.stringContaining('H-seed-outputs.json is listed in index.json and missing'), expect.stringContaining('Z.9-new.json is not listed')]);
  });
});

describe('the negative twins', () => {
  it('are all refused, at least three for each schema', verifies(['PL-04'], async () => {
    expect((await checkNegativeTwins(folder)).problems).toEqual([]);
  }));

  it('show a schema that lets a change through', async () => {
    editJson('negative.json', (value: { cases: unknown[] }) => {
      value.cases.push({ schema: 'run-create-request.schema.json', from: 'D.1-run-create.request.json', at: '', name: 'a member more', op: 'set', path: '/surprise', value: 1 });
    });
    expect((await checkNegativeTwins(folder)).problems).toEqual(['run-create-request.schema.json, "a member more": the changed payload is accepted']);
  });

  it('must start from a payload that is valid', async () => {
    editJson('negative.json', (value: { cases: unknown[] }) => {
      value.cases.push({ schema: 'run-create-request.schema.json', from: 'A.1-id-types.json', at: '', name: 'the wrong start', op: 'remove', path: '/run_id' });
    });
    expect((await checkNegativeTwins(folder)).problems).toEqual([expect.stringContaining('the payload is refused before the change')]);
  });

  it('are too few when a schema has two', async () => {
    editJson('negative.json', (value: { cases: Array<{ schema: string }> }) => {
      let left = 2;
      value.cases = value.cases.filter(({ schema }) => schema !== 'run.schema.json' || left-- > 0);
    });
    expect((await checkNegativeTwins(folder)).problems).toEqual([expect.stringContaining('run.schema.json has 2 negative twins')]);
  });
});

describe('one change to a payload', () => {
  const document = { a: { 'b/c': [1, 2, 3] } };
  it('sets and removes at a pointer and leaves the original alone', () => {
    expect(mutate(document, { op: 'set', path: '/a/b~1c/1', value: 'x' })).toEqual({ a: { 'b/c': [1, 'x', 3] } });
    expect(mutate(document, { op: 'remove', path: '/a/b~1c/0' })).toEqual({ a: { 'b/c': [2, 3] } });
    expect(mutate(document, { op: 'set', path: '', value: null })).toBeNull();
    expect(document).toEqual({ a: { 'b/c': [1, 2, 3] } });
  });
  it('refuses to remove what is not there, which would prove nothing', () => {
    expect(() => mutate(document, { op: 'remove', path: '/a/z' })).toThrow('nothing to remove');
  });
});
