/**
 * The token issuer of a node in demo and dev: one ES256 key that lies in the state folder, readable by its owner, and
 * its public half as a JWKS file that the services trust. Prod trusts neither.
 */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type CryptoKey, type JWK } from 'jose';

/** No web address: nobody can be asked for its keys, and no file of issuers can name it. */
export const LOCAL_ISSUER = 'urn:agentos:local-issuer';

export interface LocalTokenRequest {
  readonly audience: string;
  readonly tenantId: string;
  readonly principalId: string;
  readonly principalType: 'user' | 'service';
  /** None: what the roles hold. */
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  readonly lifetimeSeconds: number;
}

/** Makes the key where there is none, and the public file that belongs to it. Repeating it changes nothing. */
export async function ensureLocalIssuer(files: { readonly keyFile: string; readonly jwksFile: string }): Promise<void> {
  const key = readKey(files.keyFile) ?? (await makeKey(files.keyFile));
  // What an earlier umask or hand has opened is closed again.
  chmodSync(files.keyFile, 0o600);
  const jwks = `${JSON.stringify({ keys: [publicHalf(key)] }, null, 2)}\n`;
  if (readText(files.jwksFile) !== jwks) writeFileSync(files.jwksFile, jwks, { mode: 0o644 });
}

/** @throws Error when the key file cannot be read. */
export async function issueLocalToken(keyFile: string, request: LocalTokenRequest): Promise<{ readonly token: string; readonly expiresAt: string }> {
  const jwk = readKey(keyFile);
  if (jwk === null) throw new Error(`${keyFile} does not exist`);
  const now = Math.floor(Date.now() / 1_000);
  const expires = now + request.lifetimeSeconds;
  const claims = {
    tenant_id: request.tenantId, principal_id: request.principalId, principal_type: request.principalType, roles: [...request.roles],
    ...(request.scopes.length === 0 ? {} : { scope: request.scopes.join(' ') }),
  };
  const token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: jwk.kid!, typ: 'JWT' })
    .setIssuer(LOCAL_ISSUER).setAudience(request.audience).setSubject(request.principalId).setIssuedAt(now).setExpirationTime(expires)
    .sign((await importJWK(jwk, 'ES256')) as CryptoKey);
  return { token, expiresAt: new Date(expires * 1_000).toISOString() };
}

async function makeKey(file: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const exported = await exportJWK(privateKey);
  const key: JWK = { ...exported, kid: await calculateJwkThumbprint(exported), alg: 'ES256', use: 'sig' };
  try {
    writeFileSync(file, `${JSON.stringify(key)}\n`, { flag: 'wx', mode: 0o600 });
    return key;
  } catch (error) {
    const other = (error as NodeJS.ErrnoException).code === 'EEXIST' ? readKey(file) : null;
    if (other === null) throw error;
    return other;
  }
}

function readKey(file: string): JWK | null {
  const text = readText(file);
  if (text === null) return null;
  try {
    const key = JSON.parse(text) as JWK;
    if (key.kty === 'EC' && key.crv === 'P-256' && typeof key.kid === 'string' && typeof key.d === 'string') return key;
  } catch {
    // Said below.
  }
  throw new Error(`${file} holds no ES256 key: remove it, then agentos up`);
}

function publicHalf({ d: _private, ...key }: JWK): JWK {
  return key;
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
