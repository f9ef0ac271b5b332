/**
 * The credentials that the configuration makes understandable: tokens between our services, those of the issuers that
 * the file or the variables name, and, in demo and dev, those of the node's own issuer. API keys need no configuration.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Logger } from 'pino';
import { followFile } from '../config/followed-file.ts';
import { ConfigError } from '../config/load.ts';
import type { Mode } from '../config/mode.ts';
import type { ConfigValues } from '../config/variables.ts';
import { configuredEgress } from '../egress/configured-egress.ts';
import { EgressClient } from '../egress/egress-client.ts';
import { portNumber } from '../egress/egress-policy.ts';
import type { ReadinessCheck } from '../http/health.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { OWN_CLAIMS } from './claims.ts';
import { fileKeys } from './file-keys.ts';
import { JWT_ALGORITHMS, pemKey, type JwtAlgorithm, type KeySource } from './issuer-keys.ts';
import { issuerMetrics } from './issuer-metrics.ts';
import { algorithmsOf, claimRulesOf, parseIssuers } from './issuers-file.ts';
import { IssuerSet, type JwtIssuer, type JwtVerifier } from './jwt-verifier.ts';
import { LOCAL_ISSUER } from './local-issuer.ts';
import { RemoteKeys } from './remote-keys.ts';
import { createServiceTokenVerifier, serviceTokenKey, type ServiceTokenVerifier, type SigningKeys } from './service-token.ts';
import { issuersReady } from './issuers-ready.ts';

type VerifierConfig = Pick<ConfigValues,
  | 'AGENTOS_SIGNING_KEY' | 'AGENTOS_JWT_ISSUER' | 'AGENTOS_JWT_AUDIENCE' | 'AGENTOS_JWT_JWKS_URI' | 'AGENTOS_JWT_PUBLIC_KEY' | 'AGENTOS_JWT_ALGORITHMS'
  | 'AGENTOS_OIDC_ISSUERS_FILE' | 'AGENTOS_LOCAL_ISSUER_FILE' | 'AGENTOS_JWT_CLOCK_SKEW_SECONDS' | 'AGENTOS_JWKS_COOLDOWN_SECONDS' | 'AGENTOS_JWKS_MAX_AGE_SECONDS'
  | 'AGENTOS_EGRESS_ALLOW' | 'AGENTOS_EGRESS_PORTS'>;

export interface VerifierOptions {
  readonly mode?: Mode;
  readonly log?: Logger;
  readonly metrics?: Metrics;
  /** In place of the one of the configuration. */
  readonly signingKeys?: SigningKeys;
}

export interface ConfiguredVerifiers {
  readonly service?: ServiceTokenVerifier;
  readonly jwt?: JwtVerifier;
  /** For readiness; empty where no issuer publishes its keys elsewhere. */
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  close(): Promise<void>;
}

/**
 * @param audience the service that verifies, e.g. `model-policy`
 * @throws ConfigError when an issuer's settings are incomplete, or are not for this mode.
 */
export function configuredVerifiers(values: VerifierConfig, audience: string, options: VerifierOptions = {}): ConfiguredVerifiers {
  const keys = options.signingKeys ?? (values.AGENTOS_SIGNING_KEY === undefined ? null : serviceTokenKey(values.AGENTOS_SIGNING_KEY));
  const service = keys === null ? {} : { service: createServiceTokenVerifier(keys, audience) };
  const issuers = new ConfiguredIssuers(values, options);
  if (!issuers.any) return { ...service, checks: {}, close: () => issuers.close() };
  if (options.metrics !== undefined) issuerMetrics(options.metrics, () => issuers.sources());
  return { ...service, jwt: issuers.set, checks: issuers.mayBeAway ? issuersReady(() => issuers.sources()) : {}, close: () => issuers.close() };
}

class ConfiguredIssuers {
  readonly set: IssuerSet;
  readonly #values: VerifierConfig;
  readonly #options: VerifierOptions;
  /** By what each was opened with, so that a changed file leaves alone what it does not change. */
  #sources = new Map<string, { readonly issuer: string; readonly source: KeySource }>();
  #fileText: string | null = null;
  readonly #stopFollowing: (() => void) | null = null;

  constructor(values: VerifierConfig, options: VerifierOptions) {
    this.#values = values;
    this.#options = options;
    this.set = new IssuerSet([], { clockSkewSeconds: values.AGENTOS_JWT_CLOCK_SKEW_SECONDS });
    const path = values.AGENTOS_OIDC_ISSUERS_FILE;
    if (path === undefined) {
      this.#use(null);
      return;
    }
    try {
      this.#fileText = readFileSync(path, 'utf8');
      this.#use(this.#fileText);
    } catch (error) {
      if (error instanceof ConfigError) throw error;
      throw new ConfigError('AGENTOS_OIDC_ISSUERS_FILE', `AGENTOS_OIDC_ISSUERS_FILE names ${path}, which cannot be used: ${(error as Error).message}.`);
    }
    this.#stopFollowing = followFile(path, this.#fileText, (text) => this.#reload(path, text)).close;
  }

  get any(): boolean {
    return this.#sources.size > 0 || this.#fileText !== null;
  }

  get mayBeAway(): boolean {
    return this.#fileText !== null || this.sources().size > 0;
  }

  /** By issuer, those whose keys come from elsewhere. */
  sources(): ReadonlyMap<string, KeySource> {
    return new Map([...this.#sources.values()].filter(({ source }) => source.state() !== null).map(({ issuer, source }) => [issuer, source]));
  }

  async close(): Promise<void> {
    this.#stopFollowing?.();
    await Promise.all([...this.#sources.values()].map(({ source }) => source.close()));
  }

  #reload(path: string, text: string): void {
    const { log } = this.#options;
    try {
      this.#use(text);
      this.#fileText = text;
      log?.info({ path, issuers: [...this.#sources.values()].map(({ issuer }) => issuer) }, 'The issuers file was loaded.');
    } catch (error) {
      log?.error({ path, err: error }, 'The issuers file was changed into something that cannot be used; the issuers from before go on.');
    }
  }

  #use(fileText: string | null): void {
    const opened = new Map<string, { readonly issuer: string; readonly source: KeySource }>();
    const open = (issuer: string, description: string, make: () => KeySource): KeySource => {
      const name = `${issuer} ${description}`;
      const entry = this.#sources.get(name) ?? { issuer, source: make() };
      opened.set(name, entry);
      return entry.source;
    };
    try {
      this.set.use([...this.#ofVariables(open), ...(fileText === null ? [] : this.#ofFile(fileText, open)), ...this.#ofThisNode(open)]);
    } catch (error) {
      for (const [name, { source }] of opened) if (!this.#sources.has(name)) void source.close();
      throw error;
    }
    for (const [name, { source }] of this.#sources) if (!opened.has(name)) void source.close();
    this.#sources = opened;
    for (const { source } of opened.values()) void source.refresh();
  }

  #ofVariables(open: OpenSource): JwtIssuer[] {
    const { AGENTOS_JWT_ISSUER: issuer, AGENTOS_JWT_JWKS_URI: jwksUri, AGENTOS_JWT_PUBLIC_KEY: pem, AGENTOS_JWT_ALGORITHMS: named } = this.#values;
    if (issuer === undefined) {
      if (jwksUri !== undefined || pem !== undefined) throw new ConfigError('AGENTOS_JWT_ISSUER', 'AGENTOS_JWT_ISSUER is not set, but a key of the issuer is. Set it to the `iss` of its tokens.');
      return [];
    }
    if (jwksUri !== undefined && pem !== undefined) throw new ConfigError('AGENTOS_JWT_JWKS_URI', `AGENTOS_JWT_ISSUER is ${issuer}: set either AGENTOS_JWT_JWKS_URI or AGENTOS_JWT_PUBLIC_KEY, and not both.`);
    if (jwksUri === undefined && pem === undefined && !/^https?:/.test(issuer)) throw new ConfigError('AGENTOS_JWT_JWKS_URI', `AGENTOS_JWT_ISSUER is ${issuer}, which is no address to find its keys at: set AGENTOS_JWT_JWKS_URI or AGENTOS_JWT_PUBLIC_KEY.`);
    const unknown = named.filter((name) => !(JWT_ALGORITHMS as readonly string[]).includes(name));
    if (unknown.length > 0 || named.length === 0) throw new ConfigError('AGENTOS_JWT_ALGORITHMS', `AGENTOS_JWT_ALGORITHMS holds ${unknown.join(', ') || 'nothing'}; it may hold ${JWT_ALGORITHMS.join(', ')}.`);
    const keys = pem === undefined ? { source: this.#remote(issuer, jwksUri ?? null, open, 'AGENTOS_JWT_JWKS_URI') } : { publicKeyPem: pem, source: open(issuer, 'pem', () => pemKey(pem)) };
    return [{ issuer, audience: this.#values.AGENTOS_JWT_AUDIENCE, algorithms: named as readonly JwtAlgorithm[], keys, claims: OWN_CLAIMS }];
  }

  #ofFile(text: string, open: OpenSource): JwtIssuer[] {
    const folder = dirname(resolve(this.#values.AGENTOS_OIDC_ISSUERS_FILE!));
    return parseIssuers(text).map((entry) => ({
      issuer: entry.issuer, audience: entry.audience, algorithms: algorithmsOf(entry), claims: claimRulesOf(entry),
      keys: { source: entry.jwks_file === undefined ? this.#remote(entry.issuer, entry.jwks_uri ?? null, open, 'AGENTOS_OIDC_ISSUERS_FILE') : this.#file(entry.issuer, resolve(folder, entry.jwks_file), open) },
    }));
  }

  /** Whoever reads the state folder of a node can sign as its issuer, so no node that serves others trusts one. */
  #ofThisNode(open: OpenSource): JwtIssuer[] {
    const path = this.#values.AGENTOS_LOCAL_ISSUER_FILE;
    if (path === undefined) return [];
    if (this.#options.mode === 'prod') throw new ConfigError('AGENTOS_LOCAL_ISSUER_FILE', 'AGENTOS_LOCAL_ISSUER_FILE is set; prod trusts no issuer of its own. Unset it and configure one with AGENTOS_OIDC_ISSUERS_FILE, or use API keys.');
    const source = open(LOCAL_ISSUER, path, () => {
      try {
        return fileKeys(path, this.#options.log ?? null);
      } catch (error) {
        throw new ConfigError('AGENTOS_LOCAL_ISSUER_FILE', `AGENTOS_LOCAL_ISSUER_FILE names ${path}, which cannot be used: ${(error as Error).message}.`);
      }
    });
    return [{ issuer: LOCAL_ISSUER, audience: this.#values.AGENTOS_JWT_AUDIENCE, algorithms: ['ES256'], keys: { source }, claims: OWN_CLAIMS, local: true }];
  }

  #file(issuer: string, path: string, open: OpenSource): KeySource {
    return open(issuer, path, () => {
      try {
        return fileKeys(path, this.#options.log ?? null);
      } catch (error) {
        throw new Error(`the jwks_file of ${issuer}, ${path}, cannot be used: ${(error as Error).message}`);
      }
    });
  }

  #remote(issuer: string, jwksUri: string | null, open: OpenSource, variable: string): KeySource {
    const address = new URL(jwksUri ?? issuer);
    if (this.#options.mode === 'prod' && address.protocol !== 'https:' && !isLoopback(address)) {
      throw new ConfigError(variable, `${variable}: the keys of ${issuer} would be read from ${address.origin} without TLS, where anybody on the way could put in their own. Use https, or jwks_file.`);
    }
    const { AGENTOS_JWKS_COOLDOWN_SECONDS: cooldown, AGENTOS_JWKS_MAX_AGE_SECONDS: maxAge } = this.#values;
    return open(issuer, jwksUri ?? 'discovery', () => new RemoteKeys({
      issuer, jwksUri, egress: this.#egressTo(address), cooldownMs: cooldown * 1_000, maxAgeMs: maxAge * 1_000, log: this.#options.log ?? null,
    }));
  }

  /** The host that the operator named may be a private one; any other that it leads to may not. */
  #egressTo(address: URL): EgressClient {
    const named = `${address.hostname.replace(/\.$/, '')}:${portNumber(address)}`;
    return new EgressClient({ policy: configuredEgress({ AGENTOS_EGRESS_ALLOW: [named, ...this.#values.AGENTOS_EGRESS_ALLOW], AGENTOS_EGRESS_PORTS: this.#values.AGENTOS_EGRESS_PORTS }) });
  }
}

type OpenSource = (issuer: string, description: string, make: () => KeySource) => KeySource;

const isLoopback = (address: URL): boolean => ['127.0.0.1', '[::1]', 'localhost'].includes(address.hostname);
