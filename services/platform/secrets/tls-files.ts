/**
 * Certificates and their keys, from files: those that services serve HTTPS with, and those by which nodes know each
 * other. All files of a set are looked at every second and taken into use together, when they fit: whoever renews a
 * certificate writes one file before the other.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext, type TlsOptions } from 'node:tls';
import type { Logger } from 'pino';
import { ConfigError, type Config } from '../config/load.ts';
import type { VariableName } from '../config/variables.ts';
import type { TlsSource } from '../http/tls-source.ts';

export interface TlsFiles extends TlsSource {
  close(): void;
}

/** PEM, as the files hold it. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  /** Whom the other side's certificate must come from; absent where none is asked for. */
  readonly ca?: string;
}

/** A file, and the variable that named it, for the messages. */
export interface NamedFile {
  readonly variable: VariableName;
  readonly path: string;
}

export interface TlsFileNames {
  readonly cert: NamedFile;
  readonly key: NamedFile;
  readonly ca?: NamedFile;
}

export interface FollowedTlsFiles {
  current(): TlsMaterial;
  /** Called with each later set. Call the answer to hear no more. */
  subscribe(listener: (next: TlsMaterial) => void): () => void;
  close(): void;
}

export interface FollowOptions {
  readonly log: Logger;
  readonly lookMs?: number;
  /** What else must be true of a set before it is used, the first one included. @throws ConfigError */
  readonly check?: (material: TlsMaterial) => void;
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
  const files = followTlsFiles({ cert: { variable: 'AGENTOS_TLS_CERT_FILE', path: certFile }, key: { variable: 'AGENTOS_TLS_KEY_FILE', path: keyFile } }, { log, lookMs });
  return tlsSource(files, (material) => ({ ...material, minVersion: 'TLSv1.2' }));
}

/** The files as a listener takes them. */
export function tlsSource(files: FollowedTlsFiles, optionsOf: (material: TlsMaterial) => TlsOptions): TlsFiles {
  return {
    current: () => optionsOf(files.current()),
    subscribe: (listener) => files.subscribe((next) => listener(optionsOf(next))),
    close: files.close,
  };
}

/** @throws ConfigError for a first set that cannot be used; a later one is told of, and the one before stays in use. */
export function followTlsFiles(names: TlsFileNames, { log, lookMs = LOOK_MS, check }: FollowOptions): FollowedTlsFiles {
  const paths = [names.cert, names.key, ...(names.ca === undefined ? [] : [names.ca])].map(({ path }) => path);
  const certFile = names.cert.path;
  const read = (): TlsMaterial => {
    const material = readMaterial(names);
    check?.(material);
    return material;
  };
  let version = versionOf(paths);
  let material = read();
  let trouble = '';
  const listeners = new Set<(next: TlsMaterial) => void>();
  const look = (): void => {
    const now = versionOf(paths);
    if (now === version) return;
    try {
      material = read();
      version = now;
      trouble = '';
      log.info({ certFile }, 'The certificate was read again; new connections are served with it.');
      for (const listener of listeners) listener(material);
    } catch (error) {
      // Looked at again until they fit; told of once.
      if (trouble !== (trouble = (error as Error).message)) log.warn({ certFile, keyFile: names.key.path }, `${trouble} The certificate from before stays in use.`);
    }
  };
  const timer = setInterval(look, lookMs).unref();
  return {
    current: () => material,
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => clearInterval(timer),
  };
}

function versionOf(files: readonly string[]): string {
  return files.map((file) => {
    const found = statSync(file, { throwIfNoEntry: false });
    return found === undefined ? 'absent' : `${found.mtimeMs}-${found.size}-${found.ino}`;
  }).join(' ');
}

function readMaterial({ cert, key, ca }: TlsFileNames): TlsMaterial {
  const pair = { cert: readText(cert), key: readText(key) };
  try {
    createSecureContext(pair);
  } catch (error) {
    const misfit = /key values mismatch/i.test((error as Error).message);
    throw new ConfigError(cert.variable, misfit ? `The certificate ${cert.path} does not belong to the key ${key.path}.` : `${cert.path} and ${key.path} cannot be used as certificate and key (PEM): ${(error as Error).message}.`);
  }
  return ca === undefined ? pair : { ...pair, ca: readAuthority(ca) };
}

/** OpenSSL takes a file without any certificate for an empty list, and would then trust nobody without saying so. */
function readAuthority(ca: NamedFile): string {
  const text = readText(ca);
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw new ConfigError(ca.variable, `${ca.variable} names ${ca.path}, which holds no certificate (PEM).`);
  for (const each of found) {
    try {
      new X509Certificate(each);
    } catch (error) {
      throw new ConfigError(ca.variable, `${ca.variable} names ${ca.path}, which holds a certificate that cannot be read: ${(error as Error).message}.`);
    }
  }
  return text;
}

function readText({ variable, path }: NamedFile): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(variable, `${variable} names ${path}, which cannot be read: ${(error as Error).message}.`);
  }
}
