/**
 * Where this node may connect to on behalf of tenants. Public addresses on the listed ports; anything else only where
 * configuration names it. Three forms open more: `host`, an address or range (`10.1.0.0/16`), each with or without
 * `:port`. A port given there is open for that host or range alone.
 */
import { BlockList, isIP } from 'node:net';
import { AgentOsError } from '../errors.ts';
import { isNamableAddress, isPublicAddress } from './address.ts';

export interface EgressPolicyOptions {
  /** e.g. `['127.0.0.1:9000', '10.1.0.0/16', 'tools.internal']`. */
  readonly allow?: readonly string[];
  /** Ports that are open everywhere; 80 and 443 when absent. */
  readonly ports?: readonly string[];
}

export type EgressRule = 'bad_url' | 'scheme' | 'userinfo' | 'port' | 'address' | 'unresolved' | 'redirect' | 'host_not_permitted';

interface AllowedRange {
  readonly range: BlockList;
  readonly family: 'ipv4' | 'ipv6';
  readonly port: number | null;
}

interface AllowedHost {
  readonly host: string;
  readonly port: number | null;
}

const MAX_URL_CHARACTERS = 8_192;

export class EgressPolicy {
  readonly #ports: ReadonlySet<number>;
  readonly #hosts: AllowedHost[] = [];
  readonly #ranges: AllowedRange[] = [];

  /** @throws Error that names the entry which cannot be read. */
  constructor(options: EgressPolicyOptions = {}) {
    this.#ports = new Set((options.ports ?? ['80', '443']).map(portOf));
    for (const entry of options.allow ?? []) this.#add(entry);
  }

  /**
   * The URL in its one spelling, when nothing about it speaks against connecting; a name's addresses are judged when
   * they are known. @throws AgentOsError forbidden with `details.rule`.
   */
  checkUrl(text: string | URL): URL {
    const raw = String(text);
    if (raw.length > MAX_URL_CHARACTERS || !URL.canParse(raw)) throw refusedEgress('bad_url', 'That is not a URL that can be requested.');
    const url = new URL(raw);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refusedEgress('scheme', `Only http and https are requested, not ${url.protocol.slice(0, 20)}`);
    if (url.username !== '' || url.password !== '') throw refusedEgress('userinfo', 'A URL with a user name or password in it is not requested; send credentials as a header.');
    const host = hostOf(url);
    const port = portNumber(url);
    if (!this.#permitsPort(host, port)) throw refusedEgress('port', `Port ${port} of ${host} is not open to this node's tools (AGENTOS_EGRESS_PORTS, AGENTOS_EGRESS_ALLOW).`);
    if (isIP(host) !== 0 && !this.permitsAddress(host, port, host)) throw refusedAddress(host);
    return url;
  }

  /** May `address`, which `host` is or resolves to, be connected to on this port? */
  permitsAddress(host: string, port: number, address: string): boolean {
    const named = this.#hosts.some((entry) => entry.host === host && (entry.port === null || entry.port === port));
    if (named && isNamableAddress(address)) return true;
    if (this.#inAllowedRange(address, port, (entry) => entry.port === port || (entry.port === null && this.#ports.has(port)))) return true;
    return this.#ports.has(port) && isPublicAddress(address);
  }

  #permitsPort(host: string, port: number): boolean {
    if (this.#ports.has(port)) return true;
    if (this.#hosts.some((entry) => entry.host === host && entry.port === port)) return true;
    // A name may resolve into a range that opens this port; its address decides.
    if (isIP(host) === 0) return this.#ranges.some((entry) => entry.port === port);
    return this.#inAllowedRange(host, port, (entry) => entry.port === port);
  }

  #inAllowedRange(address: string, _port: number, fits: (entry: AllowedRange) => boolean): boolean {
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    return isIP(address) !== 0 && this.#ranges.some((entry) => entry.family === family && fits(entry) && entry.range.check(address, family));
  }

  #add(entry: string): void {
    const match = /^(?:\[(?<v6>[^\]]+)\]|(?<name>[^:/\s]+)|(?<bare>[0-9a-f:]*:[0-9a-f:.]*))(?:\/(?<prefix>\d{1,3}))?(?::(?<port>\d{1,5}))?$/i.exec(entry.trim());
    const groups = match?.groups;
    const host = (groups?.['v6'] ?? groups?.['name'] ?? groups?.['bare'] ?? '').toLowerCase();
    if (host === '') throw new Error(`'${entry}' is neither a host, host:port, an address nor a range such as 10.1.0.0/16.`);
    const port = groups?.['port'] === undefined ? null : portOf(groups['port']);
    const family = isIP(host);
    if (family === 0) {
      if (groups?.['prefix'] !== undefined || !/^[a-z0-9_]([a-z0-9._-]*[a-z0-9])?$/.test(host) || /^[\d.]+$/.test(host)) throw new Error(`'${entry}' is neither a host, host:port, an address nor a range such as 10.1.0.0/16.`);
      this.#hosts.push({ host, port });
      return;
    }
    const bits = family === 4 ? 32 : 128;
    const prefix = groups?.['prefix'] === undefined ? bits : Number(groups['prefix']);
    if (prefix > bits) throw new Error(`'${entry}' has a prefix longer than its address.`);
    const range = new BlockList();
    range.addSubnet(host, prefix, family === 4 ? 'ipv4' : 'ipv6');
    this.#ranges.push({ range, family: family === 4 ? 'ipv4' : 'ipv6', port });
  }
}

/** Lower-case, without the brackets of IPv6 and without the dot that ends an absolute name. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '').toLowerCase();
}

export function portNumber(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** `details.reason` is egress_refused, `details.rule` says which rule. Nobody's address is repeated: a name's is none of the caller's business. */
export function refusedEgress(rule: EgressRule, message: string): AgentOsError {
  return new AgentOsError('forbidden', { message, details: { reason: 'egress_refused', rule } });
}

export const refusedAddress = (host: string): AgentOsError =>
  refusedEgress('address', `${host} is not, or does not resolve to, an address that this node's tools may connect to. An operator opens private ones with AGENTOS_EGRESS_ALLOW.`);

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) throw new Error(`'${text}' is not a port.`);
  return port;
}
