import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { makeCertificate, type TestCertificate } from '../../../conformance/harness/certificate.ts';
import { ConfigError, loadConfig } from '../config/load.ts';
import { openTls, type TlsFiles } from './tls-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'agentos-tls-'));
const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
const write = ({ cert, key }: TestCertificate): void => {
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
};
let tls: TlsFiles | null = null;
const lines: string[] = [];
const log = pino({}, { write: (line: string) => void lines.push(line) });
const open = (env: Record<string, string> = { AGENTOS_TLS_CERT_FILE: certFile, AGENTOS_TLS_KEY_FILE: keyFile }): TlsFiles | null => (tls = openTls(loadConfig({ env, envFile: null }), log, 20));
afterEach(() => {
  tls?.close();
  lines.length = 0;
});

const answers = (port: number, ca: string): Promise<boolean> => new Promise((resolve) => {
  request({ port, host: '127.0.0.1', ca, agent: false }, (response) => resolve(response.resume().statusCode === 200)).on('error', () => resolve(false)).end();
});

describe('TLS files', () => {
  it('serve with the certificate that stands there, and with the next one without a restart', async () => {
    const [first, second] = [await makeCertificate(), await makeCertificate()];
    write(first);
    const source = open()!;
    const server = createServer(source.current(), (_request, response) => response.end('ok'));
    source.subscribe((next) => server.setSecureContext(next));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    expect([await answers(port, first.authority), await answers(port, second.authority)]).toEqual([true, false]);
    // Whoever renews writes one file before the other: until both fit, the old pair serves.
    writeFileSync(certFile, second.cert);
    await expect.poll(() => lines.join('')).toMatch(/does not belong to the key/);
    expect(await answers(port, first.authority)).toBe(true);
    writeFileSync(keyFile, second.key);
    await expect.poll(() => answers(port, second.authority)).toBe(true);
    expect(await answers(port, first.authority)).toBe(false);
    expect(lines.join('')).not.toContain('PRIVATE KEY');
    server.close();
  });

  it('are refused at the start when they do not fit, are not there, or are only half', async () => {
    const [one, other] = [await makeCertificate(), await makeCertificate()];
    write({ ...one, key: other.key });
    expect(() => open()).toThrow(/tls\.crt does not belong to the key .+tls\.key/);
    write({ ...other, cert: 'no certificate' });
    expect(() => open()).toThrow(/cannot be used as certificate and key \(PEM\)/);
    expect(() => open({ AGENTOS_TLS_CERT_FILE: '/nowhere', AGENTOS_TLS_KEY_FILE: keyFile })).toThrow(/AGENTOS_TLS_CERT_FILE names \/nowhere, which cannot be read/);
    expect(() => open({ AGENTOS_TLS_KEY_FILE: keyFile })).toThrow(ConfigError);
    expect(open({})).toBeNull();
  });
});
