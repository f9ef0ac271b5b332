/**
 * What one address and one presented key may ask for before anybody looks at who they are.
 *
 * Three rules. An address may send so many requests a second; so may whoever presents one and the same credential, from
 * however many addresses. And an address whose credentials are refused again and again may present no further ones for
 * a while: guessing costs time, while a credential that was good a moment ago is served on, so that one caller behind a
 * shared address cannot lock out the others.
 *
 * Credentials are remembered by a digest. Everything is held in bounded memory, per process; quotas of tenants, which
 * hold over all processes, are counted elsewhere. The loopback interface is not limited by address: what arrives there
 * unforwarded comes from this machine.
 */
import { hash, randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { AgentOsError } from '../../errors.ts';
import type { Headers } from '../reply.ts';
import { Gcra, type GcraRule, type GcraVerdict } from './gcra.ts';
import { isLoopback } from './trusted-proxy.ts';

export interface EdgeLimitRules {
  /** null: not limited. */
  readonly perAddress: GcraRule | null;
  readonly perKey: GcraRule | null;
  /** Refused credentials of one address. */
  readonly refusals: GcraRule | null;
  /** Addresses, and keys, that are remembered. */
  readonly maxKeys: number;
}

export interface EdgeCaller {
  /** null: an address that is not limited. */
  readonly addressKey: string | null;
  /** null: no credential was presented. */
  readonly credentialKey: string | null;
}

export interface EdgeLimits {
  /** @throws AgentOsError rate_limited. @param headers gets RateLimit and RateLimit-Policy where a limit refuses or is near. */
  admit(caller: EdgeCaller, headers: Headers): void;
  /** The credential was refused, or none was sent where one is needed. */
  refused(caller: EdgeCaller): void;
  /** The credential was good. */
  accepted(caller: EdgeCaller): void;
  identify(address: string, headers: IncomingHttpHeaders): EdgeCaller;
}

/** For so long a credential that was good is served although its address is held back. */
const KNOWN_GOOD_SECONDS = 300;

export function createEdgeLimits(rules: EdgeLimitRules, now: () => number = () => performance.now()): EdgeLimits {
  const addresses = rules.perAddress === null ? null : new Gcra(rules.perAddress, rules.maxKeys);
  const keys = rules.perKey === null ? null : new Gcra(rules.perKey, rules.maxKeys);
  const refusals = rules.refusals === null ? null : new Gcra(rules.refusals, rules.maxKeys);
  const good = new KnownGood(rules.maxKeys);
  // Of this process alone, so that a digest is no way to try passwords against.
  const salt = randomBytes(16).toString('base64');
  const digest = (credential: string): string => hash('sha256', salt + credential, 'base64');

  return {
    identify: (address, headers) => ({ addressKey: isLoopback(address) ? null : addressGroup(address), credentialKey: credentialOf(headers, digest) }),
    admit({ addressKey, credentialKey }, headers) {
      const at = now();
      if (addressKey !== null && addresses !== null) hold('address', addresses, addresses.take(addressKey, at), headers);
      if (addressKey !== null && refusals !== null) {
        const waitMs = refusals.waitMs(addressKey, at);
        if (waitMs > 0 && (credentialKey === null || !good.has(credentialKey, at))) throw tooManyRefusals(refusals.rule, waitMs, headers);
      }
      if (credentialKey !== null && keys !== null) hold('key', keys, keys.take(credentialKey, at), headers);
    },
    refused({ addressKey, credentialKey }) {
      if (credentialKey !== null) good.forget(credentialKey);
      if (addressKey !== null) refusals?.take(addressKey, now());
    },
    accepted({ credentialKey }) {
      if (credentialKey !== null) good.add(credentialKey, now());
    },
  };
}

/** An address as it is counted: of IPv6 the network of one customer, who has 2^64 addresses to choose from. */
export function addressGroup(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = tail === undefined ? left : [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right];
  return `${groups.slice(0, 4).map((group) => Number.parseInt(group || '0', 16).toString(16)).join(':')}::/64`;
}

function credentialOf(headers: IncomingHttpHeaders, digest: (credential: string) => string): string | null {
  const { authorization } = headers;
  if (authorization !== undefined) return digest(authorization);
  const key = headers['x-api-key'];
  return key === undefined ? null : digest(String(key));
}

function hold(name: 'address' | 'key', limit: Gcra, verdict: GcraVerdict, headers: Headers): void {
  const { perSecond, burst } = limit.rule;
  // While there is plenty, nobody needs to be told.
  if (verdict.remaining * 2 > burst) return;
  headers['ratelimit'] = `"${name}";r=${verdict.remaining};t=${Math.ceil((verdict.allowed ? verdict.resetMs : verdict.retryAfterMs) / 1_000)}`;
  headers['ratelimit-policy'] = policyOf(name, limit.rule);
  if (verdict.allowed) return;
  throw new AgentOsError('rate_limited', {
    message: `Too many requests from ${name === 'address' ? 'this address' : 'the holder of this credential'}: ${perSecond} a second, ${burst} at once. Ask again in ${Math.ceil(verdict.retryAfterMs / 1_000)} s.`,
    details: { reason: name === 'address' ? 'address_rate_exceeded' : 'key_rate_exceeded', limit: burst },
    retryAfterSeconds: verdict.retryAfterMs / 1_000,
  });
}

function tooManyRefusals(rule: GcraRule, waitMs: number, headers: Headers): AgentOsError {
  headers['ratelimit'] = `"refusals";r=0;t=${Math.ceil(waitMs / 1_000)}`;
  headers['ratelimit-policy'] = policyOf('refusals', rule);
  return new AgentOsError('rate_limited', {
    message: `Too many credentials from this address were refused. Ask again in ${Math.ceil(waitMs / 1_000)} s, with a credential that holds.`,
    details: { reason: 'too_many_refusals', limit: rule.burst },
    retryAfterSeconds: waitMs / 1_000,
  });
}

/** The burst, and how long the rate needs to give it back. */
function policyOf(name: string, { perSecond, burst }: GcraRule): string {
  return `"${name}";q=${burst};w=${Math.max(1, Math.ceil(burst / perSecond))}`;
}

/** Credentials that were good not long ago, by digest; two generations, as in gcra.ts. */
class KnownGood {
  readonly #half: number;
  #young = new Map<string, number>();
  #old = new Map<string, number>();

  constructor(max: number) {
    this.#half = Math.max(1, Math.floor(max / 2));
  }

  has(key: string, nowMs: number): boolean {
    const until = this.#young.get(key) ?? this.#old.get(key);
    return until !== undefined && until > nowMs;
  }

  add(key: string, nowMs: number): void {
    if (this.#young.size >= this.#half && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, nowMs + KNOWN_GOOD_SECONDS * 1_000);
  }

  forget(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }
}
