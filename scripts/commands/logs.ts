import { existsSync, openSync, readSync, closeSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command, CommandContext } from '../lib/command.ts';
import { parseSince } from '../lib/duration.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { redact } from '../lib/redact.ts';
import { logFileOf } from '../lib/postgres/placement.ts';
import { nodesThere, prefixOf, sourceNames, splitNode } from '../lib/nodes.ts';
import { findService, logSourceNames } from '../lib/services/catalog.ts';
import { logFileOfService } from '../lib/services/control.ts';
import { formatLogLine, parseLogLine, type LogLine } from '../lib/services/log-lines.ts';
import { loadSettings, type Settings } from '../lib/settings.ts';

const POLL_MS = 200;
const CHUNK_BYTES = 1024 * 1024;

export const command: Command = {
  name: 'logs',
  summary: 'Show the log of a service',
  args: [{ usage: '<service>', summary: `one of ${logSourceNames().join(', ')}, or node-b/<one of them>` }],
  options: [
    { flags: '-f, --follow', summary: 'go on with new lines until Ctrl-C' },
    { flags: '--since <time>', summary: 'only lines after it: 10m ago, or an ISO 8601 time' },
    { flags: '-n, --tail <count>', summary: 'the last lines only; all of them with --since', default: '200' },
  ],
  examples: ['agentos logs agent-orchestrator --since 5m', 'agentos logs postgres --follow'],
  async run(context, args, options) {
    const settings = loadSettings({ mode: context.global.mode, asBroughtUp: true });
    const { name, file } = sourceOf(settings, args[0] ?? '');
    const since = typeof options['since'] === 'string' ? sinceOf(options['since']) : null;
    const count = Number(options['tail']);
    if (!Number.isInteger(count) || count < 0) throw new CliError(`--tail cannot be "${options['tail']}"`, { exitCode: EXIT.usage, next: '--tail 100' });
    if (!existsSync(file)) throw new CliError(`${name} has no log yet`, { exitCode: EXIT.gate, evidence: [file], next: 'agentos up' });
    const show = printer(context, name, since);
    const end = statSync(file).size;
    const lines = readLines(file, end);
    for (const line of since === null ? lines.slice(Math.max(0, lines.length - count)) : lines) show(line);
    if (options['follow'] === true) await follow(file, end, show, context.signal);
    return EXIT.ok;
  },
};

function sourceOf(settings: Settings, word: string): { readonly name: string; readonly file: string } {
  const nodes = nodesThere(settings);
  const { node, name } = splitNode(nodes, word);
  if (name === 'postgres') return { name: word, file: logFileOf(node.home) };
  const service = findService(name);
  if (service !== null) return { name: `${prefixOf(node)}${service.name}`, file: logFileOfService(node.home, service.name) };
  throw new CliError(`there is no service "${word}"`, { exitCode: EXIT.usage, evidence: [`known: ${sourceNames(nodes).join(', ')}`], next: 'agentos logs agent-orchestrator' });
}

function sinceOf(text: string): Date {
  const moment = parseSince(text);
  if (moment === null) throw new CliError(`--since cannot be "${text}"`, { exitCode: EXIT.usage, next: '--since 10m   (or --since 2025-01-31T12:00:00Z)' });
  return moment;
}

/** Lines without a time of their own, such as a stack, belong to the line before them. */
function printer({ output }: CommandContext, name: string, since: Date | null): (raw: string) => void {
  let showing = since === null;
  return (raw) => {
    const line: LogLine = parseLogLine(name, redact(raw));
    if (since !== null && line.time !== null) showing = Date.parse(line.time) >= since.getTime();
    if (showing) output.line(line, formatLogLine(line));
  };
}

/** The whole lines of the first `end` bytes, at most the last 64 MiB of them. */
function readLines(file: string, end: number): readonly string[] {
  const start = Math.max(0, end - 64 * CHUNK_BYTES);
  const text = readRange(file, start, end);
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return start === 0 ? lines : lines.slice(1);
}

function readRange(file: string, start: number, end: number): string {
  const buffer = Buffer.alloc(Math.max(0, end - start));
  const handle = openSync(file, 'r');
  try {
    return buffer.subarray(0, readSync(handle, buffer, 0, buffer.length, start)).toString('utf8');
  } finally {
    closeSync(handle);
  }
}

async function follow(file: string, from: number, show: (line: string) => void, signal: AbortSignal): Promise<void> {
  let position = from;
  let rest = '';
  while (!signal.aborted) {
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    const size = existsSync(file) ? statSync(file).size : 0;
    // A smaller file is a new one: the log was rotated.
    if (size < position) [position, rest] = [0, ''];
    while (position < size) {
      const end = Math.min(size, position + CHUNK_BYTES);
      const lines = (rest + readRange(file, position, end)).split('\n');
      position = end;
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() !== '') show(line);
    }
  }
}
