/** Errors of the command line: what failed, the evidence, the next command, and the exit code it leads to. */

/** 0 ok · 1 a gate failed · 2 usage · 3 configuration · 4 a dependency is missing · 5 timeout · 130 interrupted. */
export const EXIT = { ok: 0, gate: 1, usage: 2, configuration: 3, dependency: 4, timeout: 5, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface CliErrorOptions {
  readonly exitCode: ExitCode;
  /** What was seen: the last log lines, a pid, a status. */
  readonly evidence?: readonly string[];
  /** The exact command to type next, or what to do in words. */
  readonly next?: string;
  readonly cause?: unknown;
}

export class CliError extends Error {
  readonly exitCode: ExitCode;
  readonly evidence: readonly string[];
  readonly next: string | null;

  constructor(message: string, options: CliErrorOptions) {
    super(message, { cause: options.cause });
    this.name = 'CliError';
    this.exitCode = options.exitCode;
    this.evidence = options.evidence ?? [];
    this.next = options.next ?? null;
  }
}
