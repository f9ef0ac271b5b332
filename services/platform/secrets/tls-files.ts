/**
 * The certificate that services serve HTTPS with, from files. Both files are looked at every second and taken into use
 * together, when they fit: whoever renews a certificate writes one file before the other.
 */
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { ConfigError, type Config } from '../config/load.ts';
import type { TlsSource } from '../http/tls-source.ts';

export interface TlsFiles extends TlsSource {
  close(): void;
}

interface Pair {
  readonly cert: string;
  readonly key: string;
}

const LOOK_MS = 1_000;

/** null where services serve plain HTTP. @throws ConfigError that names the file and what is wrong with it. */
export function openTls({ values }: Config, log: Logger, lookMs = LOOK_MS): TlsFiles | null {
  const { AGENTOS_TLS_CERT_FILE: certFile, AGENTOS_TLS_KEY_FILE: keyFile } = values;
  if (certFile === undefined && keyFile === undefined) return null;
  if (certFile === undefined || keyFile === undefined) {
    const missing = certFile === undefined ? 'AGENTOS_TLS_CERT_FILE' : 'AGENTOS_TLS_KEY_FILE';
    throw new ConfigError(missing, `${missing} is not set, but its other half is. Set both, or neither.`);
  }
  return followPair(certFile, keyFile, log, lookMs);
}

function followPair(certFile: string, keyFile: string, log: Logger, lookMs: number): TlsFiles {
  let version = versionOf(certFile, keyFile);
  let pair = readPair(certFile, keyFile);
  let trouble = '';
  const listeners = new Set<(next: Pair) => void>();
  const look = (): void => {
    const now = versionOf(certFile, keyFile);
    if (now === version) return;
    try {
      pair = readPair(certFile, keyFile);
      version = now;
      trouble = '';
      log.info({ certFile }, 'The certificate was read again; new connections are served with it.');
      for (const listener of listeners) listener(pair);
    } catch (error) {
      // Looked at again until they fit; told of once.
      if (trouble !== (trouble = (error as Error).message)) log.warn({ certFile, keyFile }, `${trouble} The certificate from before stays in use.`);
    }
  };
  const timer = setInterval(look, lookMs).unref();
  return {
    current: () => ({ ...pair, minVersion: 'TLSv1.2' }),
    subscribe(listener) {
      const told = (next: Pair): void => listener({ ...next, minVersion: 'TLSv1.2' });
      listeners.add(told);
      return () => void listeners.delete(told);
    },
    close: () => clearInterval(timer),
  };
}

function versionOf(...files: readonly string[]): string {
  return files.map((file) => {
    const found = statSync(file, { throwIfNoEntry: false });
    return found === undefined ? 'absent' : `${found.mtimeMs}-${found.size}-${found.ino}`;
  }).join(' ');
}

function readPair(certFile: string, keyFile: string): Pair {
  const pair = { cert: read('AGENTOS_TLS_CERT_FILE', certFile), key: read('AGENTOS_TLS_KEY_FILE', keyFile) };
  try {
    createSecureContext(pair);
    return pair;
  } catch (error) {
    const fits = /key values mismatch/i.test((error as Error).message);
    throw new ConfigError('AGENTOS_TLS_CERT_FILE', fits ? `The certificate ${certFile} does not belong to the key ${keyFile}.` : `${certFile} and ${keyFile} cannot be used as certificate and key (PEM): ${(error as Error).message}.`);
  }
}

function read(variable: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(variable, `${variable} names ${file}, which cannot be read: ${(error as Error).message}.`);
  }
}
