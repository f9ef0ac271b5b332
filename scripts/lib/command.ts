/** What a command is. Each module of scripts/commands exports one as `command`; help and parsing derive from it. */
import type { ExitCode } from './errors.ts';
import type { Output } from './output.ts';

export interface ArgumentRow {
  /** `<agent>` is needed, `[service]` is not. */
  readonly usage: string;
  readonly summary: string;
}

export interface OptionRow {
  /** As commander reads it: `--tenant <id>`, `--follow`. */
  readonly flags: string;
  readonly summary: string;
  readonly default?: string | boolean;
}

export interface GlobalOptions {
  readonly mode?: string;
  readonly profile?: string;
  readonly yesReally: boolean;
  /** null: the command's own default. */
  readonly timeoutMs: number | null;
}

export interface CommandContext {
  readonly output: Output;
  readonly global: GlobalOptions;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

export type OptionValues = Readonly<Record<string, string | boolean | undefined>>;

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly args?: readonly ArgumentRow[];
  readonly options?: readonly OptionRow[];
  /** Shown under the options in the command's help. */
  readonly examples?: readonly string[];
  /** Throws CliError, or answers the exit code. */
  run(context: CommandContext, args: readonly string[], options: OptionValues): Promise<ExitCode>;
}
