import { describe, expect, it } from 'vitest';
import { validators } from '../../../generated/validators/schemas.js';
import { formatLogLine, parseLogLine, relevantLines } from './log-lines.ts';

const PINO = JSON.stringify({ level: 50, time: '2025-03-04T05:06:07.089Z', service: 'model-policy', pid: 1, msg: 'A database connection broke.', err: { type: 'Error', code: '57P01', message: 'terminating' }, tenant_id: 'tnt_demo' });

describe('log lines', () => {
  it('reads a structured line', () => {
    const line = parseLogLine('model-policy', PINO);
    expect(line).toMatchObject({ service: 'model-policy', time: '2025-03-04T05:06:07.089Z', level: 'error', message: 'A database connection broke.', fields: { tenant_id: 'tnt_demo' } });
    expect(formatLogLine(line)).toBe('05:06:07.089 error  A database connection broke. error="Error 57P01 terminating" tenant_id=tnt_demo');
  });

  it('reads a line of Postgres', () => {
    const line = parseLogLine('postgres', '2025-03-04 05:06:07.089 UTC [17] FATAL:  password authentication failed for user "postgres"');
    expect(line).toMatchObject({ time: '2025-03-04T05:06:07.089Z', level: 'fatal', message: 'password authentication failed for user "postgres"' });
  });

  it.each(['    at main (file.js:1:2)', '{"half', '[1,2]', '{}', '{"level":"odd","time":"never","msg":{"a":1}}'])('survives %j', (raw) => {
    const line = parseLogLine('federation', raw);
    expect(validators.CliLogLine(line), JSON.stringify(validators.CliLogLine.errors)).toBe(true);
  });

  it('keeps the contract of logs --json', () => {
    for (const raw of [PINO, 'plain', '2025-03-04 05:06:07.089 UTC [17] LOG:  ready']) expect(validators.CliLogLine(parseLogLine('x', raw))).toBe(true);
  });

  it('finds the lines that tell why', () => {
    const log = ['{"level":30,"msg":"Starting."}', PINO, '{"level":30,"msg":"Stopping."}', ''].join('\n');
    expect(relevantLines('model-policy', log, 5)).toEqual([expect.stringContaining('A database connection broke.')]);
    expect(relevantLines('model-policy', '{"level":30,"msg":"one"}\n{"level":30,"msg":"two"}', 1)).toEqual([expect.stringContaining('two')]);
  });
});
