/**
 * Where things are written: results to stdout, progress and errors to stderr. With `--json` both are JSON, and the
 * shapes are a contract (specs/schemas/cli/, specs/schemas/reports/).
 */
import type { CliError } from './errors.ts';
import { redact } from './redact.ts';

export interface OutputOptions {
  readonly json: boolean;
  readonly color: boolean;
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
const CODES: Readonly<Record<Style, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };

export interface Output extends OutputOptions {
  /** stderr is a terminal and text was asked for: live progress makes sense. */
  readonly live: boolean;
  /** The command's result: the document with --json, else the text. */
  result(document: unknown, text: string): void;
  /** One line of a stream of results. */
  line(document: unknown, text: string): void;
  /** A remark for people; nothing with --json. */
  note(text: string): void;
  /** One JSON line of progress; nothing without --json. */
  progress(document: unknown): void;
  failure(error: CliError): void;
  style(style: Style, text: string): string;
}

/** Colour: `--color`/`--no-color`, then NO_COLOR, then whether a terminal reads. */
export function wantsColor(flag: boolean | undefined, env: NodeJS.ProcessEnv, isTerminal: boolean): boolean {
  if (flag !== undefined) return flag;
  if (env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '') return false;
  return isTerminal && env['TERM'] !== 'dumb';
}

export function createOutput(options: OutputOptions, stdout: NodeJS.WritableStream = process.stdout, stderr: NodeJS.WritableStream & { isTTY?: boolean } = process.stderr): Output {
  const { json, color } = options;
  const style = (name: Style, text: string): string => (color ? `\u001b[${CODES[name]}m${text}\u001b[0m` : text);
  const write = (stream: NodeJS.WritableStream, text: string): void => {
    stream.write(`${text}\n`);
  };
  return {
    json,
    color,
    // A terminal that claims to have no width (some recorders do) would get one letter a line.
    live: !json && stderr.isTTY === true && process.env['CI'] === undefined && (process.stdout.columns ?? 80) >= 40,
    style,
    result: (document, text) => write(stdout, json ? JSON.stringify(document, null, 2) : text),
    line: (document, text) => write(stdout, json ? JSON.stringify(document) : text),
    note: (text) => {
      if (!json) write(stderr, text);
    },
    progress: (document) => {
      if (json) write(stderr, JSON.stringify(document));
    },
    failure: (error) => write(stderr, json ? JSON.stringify(failureDocument(error)) : failureText(error, style)),
  };
}

function failureDocument(error: CliError): unknown {
  return { error: { message: redact(error.message), evidence: error.evidence.map((line) => redact(line)), next: error.next, exit_code: error.exitCode } };
}

/** Commands as they can be typed: the program is in the clone and not on the PATH. */
export const asTyped = (text: string): string => text.replace(/(?<![\w./-]|npx )agentos (?=[a-z.-])/g, 'npx agentos ');

function failureText(error: CliError, style: (style: Style, text: string) => string): string {
  const lines = [`${style('red', 'error:')} ${redact(error.message)}`];
  for (const line of error.evidence) lines.push(`  ${style('dim', redact(line))}`);
  if (error.next !== null) lines.push(`${style('bold', 'next:')} ${asTyped(error.next)}`);
  return lines.join('\n');
}
