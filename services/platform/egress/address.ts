/**
 * Which addresses are somebody else's computer on the open internet. Everything that is not is refused: loopback,
 * private and carrier ranges, link-local with its metadata services, and every way of writing an IPv4 address inside
 * an IPv6 one, because what a translator on the way makes of those is unknown here.
 */
import { BlockList, isIP } from 'node:net';

/** IANA's special-purpose IPv4 registry, multicast, and the reserved block. */
const REFUSED_IPV4 = [
  ['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12], ['192.0.0.0', 24], ['192.0.2.0', 24],
  ['192.31.196.0', 24], ['192.52.193.0', 24], ['192.88.99.0', 24], ['192.168.0.0', 16], ['192.175.48.0', 24], ['198.18.0.0', 15], ['198.51.100.0', 24],
  ['203.0.113.0', 24], ['224.0.0.0', 4], ['240.0.0.0', 4],
] as const;

/** Within 2000::/3, the only global unicast range: protocol assignments with Teredo and ORCHID, documentation, 6to4. */
const REFUSED_IPV6 = [['2001::', 23], ['2001:db8::', 32], ['2002::', 16], ['3fff::', 20]] as const;

/** Never an endpoint of anybody's service; a named host does not open these, only the address itself does. */
const NEVER_BY_NAME = [['0.0.0.0', 8], ['169.254.0.0', 16], ['224.0.0.0', 4], ['240.0.0.0', 4]] as const;

const refusedIpv4 = blockList(REFUSED_IPV4, 'ipv4');
const refusedIpv6 = blockList(REFUSED_IPV6, 'ipv6');
const globalIpv6 = blockList([['2000::', 3]], 'ipv6');
const neverByNameIpv4 = blockList(NEVER_BY_NAME, 'ipv4');
const namableIpv6 = blockList([['2000::', 3], ['fc00::', 7], ['::1', 128]], 'ipv6');

/** True for an address of the public internet. Text that is no address is none. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !refusedIpv4.check(address, 'ipv4');
  if (family === 6) return !address.includes('%') && globalIpv6.check(address, 'ipv6') && !refusedIpv6.check(address, 'ipv6');
  return false;
}

/** True for an address that a configured name may stand for: public, private, loopback, but no metadata service. */
export function isNamableAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !neverByNameIpv4.check(address, 'ipv4');
  return family === 6 && !address.includes('%') && namableIpv6.check(address, 'ipv6') && (globalIpv6.check(address, 'ipv6') ? isPublicAddress(address) : true);
}

function blockList(ranges: readonly (readonly [address: string, prefix: number])[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const [address, prefix] of ranges) list.addSubnet(address, prefix, family);
  return list;
}
