/** Words for secrets that cannot be read: which variable, where it was looked for, why it is not there, what to do. */
import { ConfigError } from '../config/load.ts';
import { AgentOsError } from '../errors.ts';
import type { SecretSource } from './followed-secrets.ts';

const MANAGERS = { files: 'the file system', vault: 'Vault', 'aws-sm': 'AWS Secrets Manager' } as const;

const TO_DO: Readonly<Record<string, string>> = {
  not_found: 'Put it there, or correct the reference.',
  forbidden: 'Let this node read it, or correct its credentials.',
  invalid_request: 'Correct the reference.',
};

export const describeSource = ({ variable, adapter, shown }: SecretSource): string => `${variable} (${adapter}: ${shown})`;

/** All of them at once. The exit code is that of a missing dependency where the keeper is away. */
export function failedAtStart(failures: readonly { readonly source: SecretSource; readonly error: unknown }[]): ConfigError {
  const sentences = failures.map(({ source, error }) => {
    const toDo = TO_DO[error instanceof AgentOsError ? error.code : ''] ?? `Bring ${MANAGERS[source.adapter]} back, then start again.`;
    return `${describeSource(source)} could not be read. ${(error as Error).message} ${toDo}`;
  });
  return new ConfigError(failures[0]!.source.variable, sentences.join('\n'), failures.some(({ error }) => isAway(error)) ? 4 : 3);
}

/** Whether the keeper is away, rather than the configuration wrong. */
const isAway = (error: unknown): boolean => error instanceof AgentOsError && ['dependency_unavailable', 'timeout', 'rate_limited'].includes(error.code);
