import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { verifies } from '../../conformance/http/verifies.ts';
import { validators } from '../../generated/validators/schemas.js';
import { CliError, EXIT } from './errors.ts';
import { createOutput, wantsColor } from './output.ts';
import { asCliError, runPhases, type Phase } from './phases.ts';

function collect(json: boolean): { readonly output: ReturnType<typeof createOutput>; readonly stdout: () => string; readonly stderr: () => string } {
  const streams = [new PassThrough(), new PassThrough()] as const;
  const texts = streams.map((stream) => {
    let text = '';
    stream.on('data', (chunk: Buffer) => { text += chunk.toString(); });
    return () => text;
  });
  return { output: createOutput({ json, color: false }, ...streams), stdout: texts[0]!, stderr: texts[1]! };
}

const ok = (name: string): Phase => ({ name, title: `doing ${name}`, run: async (tell) => { tell('healthy 1/3'); return `${name} done`; } });
const failing: Phase = { name: 'boot', title: 'booting', run: async () => { throw new CliError('it broke', { exitCode: EXIT.dependency, evidence: ['last line'], next: 'agentos logs x' }); } };

describe('phases', () => {
  it('run in order and tell milestones as plain lines', verifies(['PRS-8.2-01', 'PRS-8.2-02'], async () => {
    const { output, stderr, stdout } = collect(false);
    const result = await runPhases([ok('preflight'), ok('boot')], output);
    expect(result.error).toBeNull();
    expect(result.phases.map(({ name, status, detail }) => [name, status, detail])).toEqual([['preflight', 'ok', 'preflight done'], ['boot', 'ok', 'boot done']]);
    expect(stderr()).toMatch(/preflight +doing preflight[\s\S]*healthy 1\/3[\s\S]*preflight +ok preflight done[\s\S]*boot +ok boot done/);
    expect(stdout()).toBe('');
  }));

  it('stop at the first failure, skip the rest, and keep its evidence and next command', verifies('PRS-8.2-03', async () => {
    const { output } = collect(false);
    let ran = false;
    const result = await runPhases([ok('preflight'), failing, { name: 'seed', title: 'seeding', run: async () => { ran = true; return ''; } }], output);
    expect(ran).toBe(false);
    expect(result.phases.map((phase) => phase.status)).toEqual(['ok', 'failed', 'skipped']);
    expect(result.error).toMatchObject({ message: 'it broke', evidence: ['last line'], next: 'agentos logs x', exitCode: 4 });
  }));

  it('write JSON lines by their schema', async () => {
    const { output, stderr } = collect(true);
    await runPhases([ok('preflight'), failing], output);
    const lines = stderr().trim().split('\n').map((line) => JSON.parse(line) as { event: string });
    expect(lines.map((line) => line.event)).toEqual(['phase.started', 'phase.progress', 'phase.completed', 'phase.started', 'phase.failed']);
    for (const line of lines) expect(validators.CliProgress(line), JSON.stringify(validators.CliProgress.errors)).toBe(true);
  });

  it('turn any error into one with an exit code and a next step', () => {
    expect(asCliError(new Error('odd'))).toMatchObject({ exitCode: EXIT.gate, message: 'odd' });
    expect(asCliError(new DOMException('x', 'AbortError'))).toMatchObject({ exitCode: EXIT.interrupted });
  });

  it('say what the operating system refused, and where else things may lie', () => {
    const refusal = (code: string) => asCliError(Object.assign(new Error(`${code}: refused`), { code, syscall: 'mkdir', path: '/srv/agentos' }));
    expect(refusal('EACCES')).toMatchObject({ exitCode: EXIT.configuration, message: '/srv/agentos may not be used by this user', evidence: [expect.stringMatching(/^mkdir: EACCES, as .+ \(uid \d+\)$/)], next: expect.stringContaining('AGENTOS_HOME=<folder>') });
    expect(refusal('EROFS').message).toMatch(/read-only/);
    expect(refusal('ENOSPC')).toMatchObject({ exitCode: EXIT.dependency, next: expect.stringContaining('df -h') });
    expect(refusal('ENOENT').message, 'others say it in their own words').toBe('ENOENT: refused');
  });
});

describe('output', () => {
  it('writes errors as text and by schema as JSON, without secrets', () => {
    const error = new CliError('no database at postgres://u:topsecret@h/db', { exitCode: EXIT.dependency, evidence: ['Bearer abcdefghijkl'], next: 'agentos up' });
    const text = collect(false);
    text.output.failure(error);
    expect(text.stderr()).toBe('error: no database at postgres://u:***@h/db\n  Bearer ***\nnext: npx agentos up\n');
    const json = collect(true);
    json.output.failure(error);
    const document: unknown = JSON.parse(json.stderr());
    expect(validators.CliError(document)).toBe(true);
    expect(json.stderr()).not.toContain('topsecret');
  });

  it('decides on colour by flag, then NO_COLOR, then terminal', () => {
    expect(wantsColor(true, { NO_COLOR: '1' }, false)).toBe(true);
    expect(wantsColor(undefined, { NO_COLOR: '1' }, true)).toBe(false);
    expect(wantsColor(undefined, {}, true)).toBe(true);
    expect(wantsColor(undefined, {}, false)).toBe(false);
    expect(wantsColor(false, {}, true)).toBe(false);
  });
});
