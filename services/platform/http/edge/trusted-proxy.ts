/**
 * Whose word on a client's address is believed (AGENTOS_TRUSTED_PROXY).
 *
 * A header says what its sender likes. `X-Forwarded-For` is read from its right end, where the nearest proxy wrote, and
 * only for as long as the writer of an entry is a proxy that configuration names: the first address that is none of
 * them is the client. Without such proxies the address of the socket is the client's, whatever headers say.
 */
import { BlockList, isIP } from 'node:net';
import { ConfigError } from '../../config/load.ts';

export interface TrustedProxies {
  /** True for a peer whose forwarding headers are believed. */
  trusts(address: string): boolean;
  /** The client's address, normalised; `peer` itself where it is not a trusted proxy or says nothing legible. */
  clientAddress(peer: string, forwardedFor: string | readonly string[] | undefined): string;
}

const LOOPBACK: readonly string[] = ['127.0.0.0/8', '::1/128'];
/** More hops than any real chain has; the rest of a longer header is not looked at. */
const MAX_HOPS = 32;
const MAX_KNOWN = 4_096;

/** @param entries `loopback`, addresses, and ranges as address/prefix. @throws ConfigError that names the entry which cannot be read. */
export function parseTrustedProxies(entries: readonly string[]): TrustedProxies {
  const ranges = new BlockList();
  for (const entry of entries.flatMap((each) => (each === 'loopback' ? LOOPBACK : [each]))) addRange(ranges, entry);
  const none = entries.length === 0;
  // Asking the ranges costs more than all the rest of the edge, and the same few proxies ask all the time.
  const known = new Map<string, boolean>();
  const trusts = (address: string): boolean => {
    if (none) return false;
    let trusted = known.get(address);
    if (trusted === undefined) {
      if (known.size >= MAX_KNOWN) known.clear();
      known.set(address, (trusted = inRanges(ranges, address)));
    }
    return trusted;
  };
  return {
    trusts,
    clientAddress(peer, forwardedFor) {
      let client = normaliseAddress(peer);
      if (none || forwardedFor === undefined || !trusts(client)) return client;
      const text = typeof forwardedFor === 'string' ? forwardedFor : forwardedFor.join(',');
      let end = text.length;
      for (let hop = 0; hop < MAX_HOPS && end >= 0; hop += 1) {
        const comma = end === 0 ? -1 : text.lastIndexOf(',', end - 1);
        const address = addressOf(text.slice(comma + 1, end));
        if (address === null) break;
        client = address;
        if (!trusts(client)) break;
        end = comma;
      }
      return client;
    },
  };
}

function addRange(ranges: BlockList, entry: string): void {
  const [address = '', prefixText, ...rest] = entry.split('/');
  const family = isIP(address);
  const bits = family === 4 ? 32 : 128;
  const prefix = prefixText === undefined ? bits : /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : -1;
  if (family === 0 || rest.length > 0 || prefix < 0 || prefix > bits) {
    throw new ConfigError('AGENTOS_TRUSTED_PROXY', `AGENTOS_TRUSTED_PROXY: ${JSON.stringify(entry)} is neither loopback nor an address nor a range such as 10.0.0.0/8.`);
  }
  if (prefix === 0) throw new ConfigError('AGENTOS_TRUSTED_PROXY', `AGENTOS_TRUSTED_PROXY: ${entry} would believe everybody. Name the addresses of your proxies.`);
  ranges.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6');
}

function inRanges(ranges: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && ranges.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/** One entry of the header, which some proxies write with a port; null where it is no address. */
function addressOf(entry: string): string | null {
  const text = entry.trim();
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text;
  return isIP(bare) === 0 ? null : normaliseAddress(bare);
}

/** An IPv4 address in IPv6 clothes, as dual-stack sockets report it, is that IPv4 address; a zone is no part of one. */
export function normaliseAddress(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? address.split('%')[0]!.toLowerCase();
}

export function isLoopback(address: string): boolean {
  return address === '::1' || (address.startsWith('127.') && isIP(address) === 4);
}
