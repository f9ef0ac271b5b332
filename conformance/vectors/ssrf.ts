/**
 * URLs that no tool, webhook or peer may make this node request: the SSRF catalogue as data. `{port}` is a port that
 * is open everywhere and on which a socket listens; where a vector leaves it out, the port is what is refused.
 */
export interface SsrfVector {
  readonly name: string;
  readonly url: string;
  /** `details.rule` of the refusal. */
  readonly rule: 'bad_url' | 'scheme' | 'userinfo' | 'port' | 'address';
}

const address = (name: string, host: string): SsrfVector => ({ name, url: `http://${host}:{port}/`, rule: 'address' });

const LOOPBACK: readonly SsrfVector[] = [
  address('loopback', '127.0.0.1'), address('the whole loopback range', '127.255.255.254'), address('loopback as one decimal', '2130706433'),
  address('loopback in hex', '0x7f000001'), address('loopback in dotted hex', '0x7f.0x0.0x0.0x1'), address('loopback in octal', '0177.0.0.1'),
  address('loopback in one octal', '017700000001'), address('short loopback', '127.1'), address('loopback of three parts', '127.0.1'), address('mixed spellings', '0x7f.1'),
  address('full-width digits', '１２７.０.０.１'), address('full-width dots', '127。0。0。1'), address('circled digits', '①②⑦.⓪.⓪.①'),
  address('an absolute address', '127.0.0.1.'), address('percent-encoded', '%31%32%37.0.0.1'), address('this host', '0.0.0.0'), address('short zero', '0'),
  address('localhost', 'localhost'), address('LOCALHOST', 'LOCALHOST'), address('an absolute localhost', 'localhost.'),
];

const IPV6: readonly SsrfVector[] = [
  address('IPv6 loopback', '[::1]'), address('IPv6 unspecified', '[::]'), address('long IPv6 loopback', '[0:0:0:0:0:0:0:1]'),
  address('v4-mapped', '[::ffff:127.0.0.1]'), address('v4-mapped in hex', '[::ffff:7f00:1]'), address('v4-mapped public', '[::ffff:8.8.8.8]'),
  address('v4-compatible', '[::127.0.0.1]'), address('v4-translated', '[::ffff:0:127.0.0.1]'), address('NAT64', '[64:ff9b::7f00:1]'), address('NAT64 of metadata', '[64:ff9b::a9fe:a9fe]'), address('local NAT64', '[64:ff9b:1::7f00:1]'),
  address('6to4', '[2002:7f00:1::]'), address('Teredo', '[2001:0:7f00:1::]'), address('ORCHID', '[2001:20::1]'), address('documentation', '[2001:db8::1]'), address('new documentation', '[3fff::1]'),
  address('unique local', '[fd00::1]'), address('EC2 metadata over IPv6', '[fd00:ec2::254]'), address('link-local', '[fe80::1]'), address('site-local', '[fec0::1]'), address('multicast', '[ff02::1]'), address('discard', '[100::1]'),
];

const IPV4: readonly SsrfVector[] = [
  address('metadata', '169.254.169.254'), address('metadata as decimal', '2852039166'), address('metadata in hex', '0xA9FEA9FE'), address('ECS metadata', '169.254.170.2'), address('Alibaba metadata', '100.100.100.200'),
  address('private 10', '10.0.0.1'), address('private 172.16', '172.16.0.1'), address('private 172.31', '172.31.255.254'), address('private 192.168', '192.168.1.1'), address('CGNAT', '100.64.0.1'),
  address('protocol assignments', '192.0.0.8'), address('documentation 1', '192.0.2.1'), address('documentation 2', '198.51.100.1'), address('documentation 3', '203.0.113.1'), address('6to4 relay', '192.88.99.1'),
  address('benchmarking', '198.18.0.1'), address('multicast', '224.0.0.1'), address('reserved', '240.0.0.1'), address('broadcast', '255.255.255.255'),
];

const SHAPES: readonly SsrfVector[] = [
  { name: 'a user name', url: 'http://user@example.com:{port}/', rule: 'userinfo' }, { name: 'a password', url: 'http://user:password@example.com:{port}/', rule: 'userinfo' }, { name: 'a host in the user name', url: 'http://example.com@127.0.0.1:{port}/', rule: 'userinfo' },
  { name: 'a backslash before the at', url: 'http://127.0.0.1:{port}\\@example.com/', rule: 'address' }, { name: 'a file', url: 'file:///etc/passwd', rule: 'scheme' }, { name: 'FTP', url: 'ftp://127.0.0.1:{port}/', rule: 'scheme' }, { name: 'gopher', url: 'gopher://127.0.0.1:{port}/_x', rule: 'scheme' },
  { name: 'data', url: 'data:text/plain,hello', rule: 'scheme' }, { name: 'a blob', url: 'blob:http://127.0.0.1:{port}/1', rule: 'scheme' }, { name: 'javascript', url: 'javascript:alert(1)', rule: 'scheme' }, { name: 'a web socket', url: 'ws://127.0.0.1:{port}/', rule: 'scheme' }, { name: 'dict', url: 'dict://127.0.0.1:{port}/', rule: 'scheme' }, { name: 'ldap', url: 'ldap://127.0.0.1:{port}/', rule: 'scheme' },
  { name: 'SSH', url: 'http://example.com:22/', rule: 'port' }, { name: 'SMTP', url: 'http://example.com:25/', rule: 'port' }, { name: 'Postgres', url: 'http://example.com:5432/', rule: 'port' }, { name: 'Redis', url: 'http://example.com:6379/', rule: 'port' }, { name: 'a port of its own', url: 'https://example.com:8443/', rule: 'port' }, { name: 'port zero', url: 'http://example.com:0/', rule: 'port' },
  { name: 'nothing', url: '', rule: 'bad_url' }, { name: 'no scheme', url: 'example.com/', rule: 'bad_url' }, { name: 'a path', url: '//127.0.0.1:{port}/', rule: 'bad_url' }, { name: 'no host', url: 'http://', rule: 'bad_url' }, { name: 'a zone', url: 'http://[fe80::1%25eth0]:{port}/', rule: 'bad_url' }, { name: 'a number past IPv4', url: 'http://4294967296:{port}/', rule: 'bad_url' }, { name: 'a port past the last', url: 'http://example.com:65536/', rule: 'bad_url' }, { name: 'a NUL', url: 'http://127.0.0.1\u0000.example.com:{port}/', rule: 'bad_url' }, { name: 'a very long URL', url: `http://example.com/${'a'.repeat(9_000)}`, rule: 'bad_url' },
];

export const ssrfVectors: readonly SsrfVector[] = [...LOOPBACK, ...IPV6, ...IPV4, ...SHAPES];

/** Addresses a name may resolve to without becoming reachable by it. */
export const refusedAddresses: readonly string[] = [
  '127.0.0.1', '0.0.0.0', '10.1.2.3', '172.16.9.9', '192.168.0.9', '100.64.1.1', '169.254.169.254', '224.0.0.251', '255.255.255.255', '198.18.0.1',
  '::1', '::', '::ffff:127.0.0.1', '::ffff:a00:1', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:0:7f00:1::', 'fd00::1', 'fe80::1', 'fec0::1', 'ff02::1', '2001:db8::1',
];

export const publicAddresses: readonly string[] = ['8.8.8.8', '1.1.1.1', '172.15.255.255', '172.32.0.1', '100.63.255.255', '100.128.0.1', '198.20.0.1', '2606:4700:4700::1111', '2001:4860:4860::8888', '2a00:1450:4001::200e'];
