import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogger, writePlainLine } from './logger.ts';
import { LineOutput } from './line-output.ts';

describe('LineOutput', () => {
  let folder: string;
  let file: string;
  let fd: number;
  const read = (): string => readFileSync(file, 'utf8');
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'agentos-lines-'));
    file = path.join(folder, 'log');
    fd = openSync(file, 'w');
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  it('writes the lines of a turn together, at its end', async () => {
    const output = new LineOutput(fd);
    for (const line of ['one\n', 'two\n', 'drei — ∞\n']) output.write(line);
    expect(read()).toBe('');
    await new Promise(setImmediate);
    expect(read()).toBe('one\ntwo\ndrei — ∞\n');
  });

  it('lets frequent lines wait for those of other turns, and keeps the order of all', async () => {
    const output = new LineOutput(fd);
    output.writeFrequent('one\n');
    await new Promise(setImmediate);
    expect(read()).toBe('');
    await expect.poll(read).toBe('one\n');
    output.writeFrequent('two\n');
    output.write('three\n');
    await new Promise(setImmediate);
    expect(read()).toBe('one\ntwo\nthree\n');
  });

  it('does not gather without end', () => {
    const output = new LineOutput(fd);
    const line = `${'x'.repeat(1_000)}\n`;
    for (let each = 0; each < 70; each += 1) output.write(line);
    expect(read().length).toBeGreaterThanOrEqual(65_000);
    output.flushSync();
    expect(read()).toBe(line.repeat(70));
  });

  it('loses nothing when the process exits in the middle of a turn, and a fatal line is out at once', () => {
    const program = `import { createLogger } from ${JSON.stringify(path.resolve('services/platform/telemetry/logger.ts'))};
      const log = createLogger({ service: 'a' }); log.info('first'); log.fatal('last'); log.info('after'); process.exit(3);`;
    const { stdout, status } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { encoding: 'utf8' });
    expect([status, stdout.trimEnd().split('\n').map((line) => (JSON.parse(line) as { msg: string }).msg)]).toEqual([3, ['first', 'last', 'after']]);
  });

  it('goes on serving when nobody reads any more', () => {
    writeFileSync(path.join(folder, 'talker.mts'), `import { LineOutput } from ${JSON.stringify(path.resolve('services/platform/telemetry/line-output.ts'))};
      const output = new LineOutput(1); let turns = 0;
      const again = () => { output.write('x'.repeat(9000) + '\\n'); turns += 1; if (turns < 200) setImmediate(again); else process.exit(0); }; again();`);
    const command = `"${process.execPath}" --import tsx "${folder}/talker.mts" | head -c 10 > /dev/null; echo \${PIPESTATUS[0]}`;
    expect(spawnSync('bash', ['-c', command], { encoding: 'utf8' }).stdout.trim()).toBe('0');
  });
});

describe('writePlainLine', () => {
  it('is a line as the others are, whatever its texts hold', () => {
    const lines: string[] = [];
    const log = createLogger({ service: 'items', version: '1', destination: { write: (line: string) => void lines.push(line) } });
    const said = 'a "quote", a \\ and\na break — ∞';
    writePlainLine(log.child({ tenant_id: 'tnt_1' }), `"attempts":2,"said":${JSON.stringify(said)},`, said);
    log.level = 'warn';
    writePlainLine(log, '"attempts":3,', 'silent');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toEqual({ level: 'info', time: expect.any(String) as string, service: 'items', version: '1', tenant_id: 'tnt_1', attempts: 2, said, msg: said });
  });
});
