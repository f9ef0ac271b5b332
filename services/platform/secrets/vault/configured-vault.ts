/** Vault as the configuration describes it. */
import { readFileSync } from 'node:fs';
import { ConfigError, type Config } from '../../config/load.ts';
import { FileSecrets } from '../secrets-files.ts';
import { VaultSecrets } from '../secrets-vault.ts';
import type { VaultAuth } from './vault-session.ts';

/** @throws ConfigError that names what is missing. */
export function configuredVault(config: Config): VaultSecrets {
  const { VAULT_ADDR: address, VAULT_NAMESPACE: namespace, VAULT_CACERT: caFile } = config.values;
  if (address === undefined) throw new ConfigError('VAULT_ADDR', 'VAULT_ADDR is not set, and a secret refers to Vault. Set it to the address of the server, e.g. https://vault.internal:8200.');
  const auth = authOf(config);
  try {
    return new VaultSecrets({ address, auth, ...(namespace === undefined ? {} : { namespace }), ...(caFile === undefined ? {} : { ca: readCa(caFile) }) });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError('VAULT_ADDR', `VAULT_ADDR is ${address}; ${(error as Error).message}.`);
  }
}

function authOf(config: Config): VaultAuth {
  const { values } = config;
  const kind = values.AGENTOS_VAULT_AUTH ?? (values.AGENTOS_VAULT_ROLE_ID !== undefined ? 'approle' : values.AGENTOS_VAULT_ROLE !== undefined ? 'kubernetes' : 'token');
  const mount = values.AGENTOS_VAULT_AUTH_MOUNT ?? kind;
  switch (kind) {
    case 'token':
      return { kind, token: freshest(config, 'VAULT_TOKEN', 'Vault is asked with a token') };
    case 'approle':
      return { kind, mount, roleId: given(values.AGENTOS_VAULT_ROLE_ID, 'AGENTOS_VAULT_ROLE_ID', 'AppRole needs it'), secretId: freshest(config, 'AGENTOS_VAULT_SECRET_ID', 'AppRole needs it') };
    case 'kubernetes':
      return { kind, mount, role: given(values.AGENTOS_VAULT_ROLE, 'AGENTOS_VAULT_ROLE', 'the Kubernetes auth method needs it'), jwtFile: values.AGENTOS_VAULT_JWT_FILE };
  }
}

function given<Value>(value: Value | undefined, variable: string, why: string): Value {
  if (value === undefined) throw new ConfigError(variable, `${variable} is not set: ${why}.`);
  return value;
}

/** What opens the manager cannot lie in it: a value, or a file that is read each time. */
function freshest(config: Config, name: 'VAULT_TOKEN' | 'AGENTOS_VAULT_SECRET_ID', why: string): () => string | Promise<string> {
  const file = config.secretFiles[name];
  if (file === undefined) {
    const value = given(config.values[name], name, `${why}. Set it, or ${name}_FILE`);
    return () => value;
  }
  const files = new FileSecrets();
  return async () => (await files.get(null, file)).value;
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError('VAULT_CACERT', `VAULT_CACERT names ${file}, which cannot be read: ${(error as Error).message}.`);
  }
}
