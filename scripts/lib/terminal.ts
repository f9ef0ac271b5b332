/** Questions to whoever sits at the terminal. They go to stderr, so that a command's result can be piped. */
import { createInterface } from 'node:readline/promises';
import { CliError, EXIT } from './errors.ts';

/** Puts one question and answers what was typed, without its end of line. @throws CliError interrupted on Ctrl-C and at the end of input. */
export type Ask = (question: string) => Promise<string>;

/** Whether somebody can be asked. */
export const somebodyIsThere = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true;

export async function withTerminal<Result>(work: (ask: Ask) => Promise<Result>): Promise<Result> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const left = new AbortController();
  // A question of readline stays open for ever when its input ends or is interrupted.
  lines.once('close', () => left.abort()).once('SIGINT', () => left.abort());
  try {
    return await work(async (question) => {
      try {
        return await lines.question(question, { signal: left.signal });
      } catch (cause) {
        throw new CliError('interrupted', { exitCode: EXIT.interrupted, next: 'the same command again; nothing was changed', cause });
      }
    });
  } finally {
    lines.close();
  }
}
