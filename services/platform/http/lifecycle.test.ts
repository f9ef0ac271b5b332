/** A service process as an operator sees it: what signals and failures do to it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const platform = new URL('..', import.meta.url).href;
const loader = new URL('../../../node_modules/tsx/dist/esm/index.mjs', import.meta.url).href;

interface Ended {
  readonly code: number | null;
  readonly lines: readonly any[];
}

function start(main: string): { child: ChildProcess; ready: Promise<void>; ended: Promise<Ended> } {
  const file = join(mkdtempSync(join(tmpdir(), 'agentos-lifecycle-')), 'main.mts');
  writeFileSync(
    file,
    `import { runService } from '${platform}http/lifecycle.ts';
     import { createLogger } from '${platform}telemetry/logger.ts';
     import { ConfigError } from '${platform}config/load.ts';
     const log = createLogger({ service: 'test' });
     const keepAlive = setInterval(() => undefined, 1000);
     await runService(log, async () => { ${main} });
     log.info('ready');
     void ConfigError;`,
  );
  const child = spawn(process.execPath, ['--import', loader, file], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let becomeReady: () => void;
  const ready = new Promise<void>((resolve) => (becomeReady = resolve));
  child.stdout!.on('data', (chunk: Buffer) => {
    out += chunk.toString();
    if (out.includes('"ready"')) becomeReady();
  });
  const ended = new Promise<Ended>((resolve) => child.on('exit', (code) => resolve({ code, lines: out.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line)) })));
  return { child, ready, ended };
}

describe('a service process', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('closes and exits with 0 on %s', async (signal) => {
    const { child, ready, ended } = start('return { close: async () => log.info("closing") };');
    await ready;
    child.kill(signal);
    const { code, lines } = await ended;
    expect(code).toBe(0);
    expect(lines.map((line) => line.msg)).toEqual(['ready', 'Stopping.', 'closing', 'Stopped.']);
  });

  it('exits at once on a second signal', async () => {
    const { child, ready, ended } = start('return { close: () => new Promise(() => undefined) };');
    await ready;
    child.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 200));
    child.kill('SIGTERM');
    expect((await ended).code).toBe(130);
  });

  it('exits with 3 and names the variable when the configuration is wrong', async () => {
    const { code, lines } = await start("throw new ConfigError('AGENTOS_PORT', 'AGENTOS_PORT is wrong.');").ended;
    expect(code).toBe(3);
    expect(lines.at(-1)).toMatchObject({ level: 'fatal', variable: 'AGENTOS_PORT', msg: 'AGENTOS_PORT is wrong.' });
  });

  it('closes and exits with 1 after an error that nobody caught', async () => {
    const { code, lines } = await start('setTimeout(() => { throw new Error("lost"); }, 50); return { close: async () => log.info("closing") };').ended;
    expect(code).toBe(1);
    expect(lines.some((line) => line.level === 'fatal' && line.err.message === 'lost')).toBe(true);
    expect(lines.some((line) => line.msg === 'closing')).toBe(true);
  });
});
