/**
 * Secrets as files, the way Docker and Kubernetes mount them. A name is a path. Kubernetes replaces a mounted secret by
 * swapping a symbolic link above it, and others write a new file and rename it: a file's version changes with any of these.
 */
import { readFile } from 'node:fs/promises';
import { fileVersion } from '../config/followed-file.ts';
import { AgentOsError } from '../errors.ts';
import type { PortCapabilities } from '../port.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { noSecret, requireNode, type GetSecretOptions, type SecretsPort, type SecretValue } from './secrets.ts';

const ADAPTER = 'files';
const MAX_BYTES = 1024 * 1024;

export class FileSecrets implements SecretsPort {
  capabilities(): PortCapabilities {
    return { adapter: ADAPTER, contractVersion: '1.0', durable: true, features: [] };
  }

  /** White space at the end is not part of a secret: editors and `echo` put it there. */
  async get(auth: AuthContext | null, name: string, options: GetSecretOptions = {}): Promise<SecretValue> {
    requireNode(auth, ADAPTER, name);
    try {
      // The version first: a file that is replaced in between is read again by the next look.
      const version = await this.version(name);
      const value = (await readFile(name, { encoding: 'utf8', ...(options.signal === undefined ? {} : { signal: options.signal }) })).trimEnd();
      if (value === '') throw noSecret(ADAPTER, `The file ${name} is empty.`);
      return { value, version };
    } catch (error) {
      throw error instanceof AgentOsError ? error : fileFailure(name, error as NodeJS.ErrnoException);
    }
  }

  /** What a look at a file costs, without reading it. @throws AgentOsError as `get`. */
  async version(name: string): Promise<string> {
    try {
      const { version, bytes } = await fileVersion(name);
      if (bytes > MAX_BYTES) throw noSecret(ADAPTER, `The file ${name} has ${bytes} bytes, which no secret has.`);
      return version;
    } catch (error) {
      throw error instanceof AgentOsError ? error : fileFailure(name, error as NodeJS.ErrnoException);
    }
  }

  async close(): Promise<void> {}
}

function fileFailure(name: string, error: NodeJS.ErrnoException): AgentOsError {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'EISDIR') return noSecret(ADAPTER, `There is no file ${name}.`, error);
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new AgentOsError('forbidden', { message: `The file ${name} may not be read by this process.`, details: { service: ADAPTER, reason: 'secret_refused' }, cause: error });
  }
  return new AgentOsError('dependency_unavailable', { message: `The file ${name} cannot be read (${error.code ?? error.message}).`, details: { service: ADAPTER, reason: 'secret_unreadable' }, cause: error });
}
