/**
 * The catalogue of bad input, item by item, and where each is proven: the file, and words that stand in it. An item whose
 * words are gone has lost its proof, and `conformance/http/catalogue.test.ts` says so.
 */
export interface CatalogueItem {
  readonly section: 'Body' | 'Path and query' | 'HTTP' | 'JWT' | 'Tenant' | 'SSRF' | 'Webhooks' | 'Federation' | 'Agents' | 'Races';
  readonly item: string;
  readonly proof: readonly [file: string, words: string];
}

const INPUT = 'conformance/vectors/bad-input.ts';
const CONTRACT = 'conformance/vectors/bad-input-by-contract.ts';
const RACES = 'conformance/http/bad-input-races.test.ts';
const SSRF = 'conformance/vectors/ssrf.ts';
const EGRESS = 'services/platform/egress/egress-client.test.ts';
const PEERS = 'conformance/vectors/federation.ts';
const TRUST = 'conformance/http/federation-trust.test.ts';
const JWT = 'conformance/vectors/jwt.ts';
const HOOKS = 'conformance/vectors/webhooks.ts';

const rows = (section: CatalogueItem['section'], items: ReadonlyArray<readonly [item: string, file: string, words: string]>): CatalogueItem[] =>
  items.map(([item, file, words]) => ({ section, item, proof: [file, words] }));

export const catalogue: readonly CatalogueItem[] = [
  ...rows('Body', [
    ['truncated JSON', INPUT, "'truncated JSON'"], ['empty', INPUT, "'nothing'"], ['null', INPUT, "name: 'null'"], ['a number', INPUT, "'a number'"], ['an array', INPUT, "'an array'"], ['NaN', INPUT, "'NaN'"],
    ['larger than 256 KiB', INPUT, "'more than 256 KiB'"], ['a gzip bomb', INPUT, "'a gzip bomb'"], ['nesting past 64', INPUT, "'arrays nested 10,000 deep'"],
    ['NUL', INPUT, "'a NUL character'"], ['lone surrogate', INPUT, "'half of a surrogate pair'"], ['invalid UTF-8', INPUT, "'bytes that are no UTF-8'"],
    ['__proto__', INPUT, "name: '__proto__'"], ['constructor', INPUT, "'constructor.prototype'"], ['missing content type', INPUT, "'no content type'"], ['text content type', INPUT, "'text/plain'"],
    ['odd charset', INPUT, "'an odd charset'"], ['odd encoding', INPUT, "'an odd encoding'"], ['numbers out of range', INPUT, "'timeout_ms 1e30'"], ['wrong types', INPUT, "'timeout_ms a text'"], ['unknown enum', INPUT, "'an unknown priority'"],
    ['idempotency key of 0 or 257 characters', INPUT, "'an idempotency key of 257 characters'"], ['10,000 allow-list entries', INPUT, "'an allow-list of 10,000'"],
    ['pattern bombs in the PII gate', 'conformance/vectors/pii', ''], ['on every operation that takes a body', CONTRACT, 'ofBody'],
  ]),
  ...rows('Path and query', [
    ['bad percent escapes', CONTRACT, "'a bad percent escape'"], ['NUL', CONTRACT, "'a NUL'"], ['..%2f', CONTRACT, "'a path in disguise'"], ['CRLF', CONTRACT, "'a line break'"], ['15 KB ids', CONTRACT, "'an id of 15 KB'"], ['SQL characters', INPUT, "'SQL'"],
    ['bad cursors', INPUT, 'badCursors'], ['a cursor past the end of a finished run', 'conformance/http/events.test.ts', 'past the end of a finished run'], ['cancel of a terminal run', 'conformance/http/runs.test.ts', '409 for one that has'],
    ['unknown verb suffix', INPUT, "'path: unknown verb'"], ['wrong method', CONTRACT, 'ofMethods'],
  ]),
  ...rows('HTTP', [
    ['content-length with transfer-encoding', INPUT, "'content length and transfer encoding'"], ['duplicates', INPUT, "'two content lengths'"], ['obs-fold', INPUT, "'a folded header'"], ['bare LF', INPUT, "'a bare line feed'"], ['no Host', INPUT, "'no Host'"],
    ['17 KB headers', INPUT, "'17 KB of headers'"], ['duplicate X-Tenant-Id', INPUT, "'X-Tenant-Id twice'"], ['duplicate Authorization', INPUT, "'Authorization twice'"],
    ['slow headers or body', 'conformance/http/bad-input-slow.test.ts', 'within 15 s in its headers'], ['Accept: text/html', INPUT, "'accept: HTML still gets JSON'"],
  ]),
  ...rows('JWT', [
    ['alg none', JWT, "'alg none'"], ['HS256 with the public key', JWT, "'HS256 with the public key'"], ['expired', JWT, "'expired'"], ['not yet valid', JWT, "'not valid yet'"], ['wrong aud', JWT, "'another audience'"], ['wrong iss', JWT, "'another issuer'"],
    ['no exp', JWT, "'no expiry'"], ['no tenant', JWT, "'no tenant'"], ['tenant as array, object, empty', JWT, 'a tenant that is'], ['no kid', JWT, "'no key id'"], ['kid as path or SQL', JWT, "'SQL as key id'"], ['embedded jwk, jku', JWT, 'a key of its own'], ['crit', JWT, "'a critical extension'"],
    ['tampered', JWT, "'changed claims'"], ['100 KB', JWT, "'a token of 100 KB'"], ['JWE', JWT, "'an encrypted token (JWE)'"], ['a rotated key', 'conformance/http/identity-issuers.test.ts', 'are accepted after a cooldown'], ['1,000 unknown kids', 'services/platform/auth/remote-keys.test.ts', 'for a thousand ids'],
    ['two schemes at once', INPUT, "'two kinds of credential'"], ['revoked key', 'conformance/http/matrix.test.ts', "'a revoked key'"], ['token in the query', INPUT, "'a credential in the query'"], ['disabled tenant', 'conformance/http/isolation.test.ts', 'that is suspended is refused'], ['missing scope', 'conformance/http/matrix.test.ts', "'another scope'"],
  ]),
  ...rows('Tenant', [
    ['a user token of t1 with X-Tenant-Id: t2', INPUT, "another tenant than the credential's"], ['X-Scopes and X-Principal-Id without a dev mode', INPUT, 'tenant, principal and scopes in headers'],
    ["another tenant's things, the same bytes as for what does not exist", 'scripts/lib/validation/isolation/judge.ts', 'an error that differs from the one for what nobody has'],
  ]),
  ...rows('SSRF', [
    ['loopback in every spelling', SSRF, "'loopback in dotted hex'"], ['[::], v4-mapped and -compatible', SSRF, "'v4-compatible'"], ['NAT64, 6to4, Teredo', SSRF, "'Teredo'"], ['link-local and metadata', SSRF, "'metadata'"], ['private and CGNAT', SSRF, "'CGNAT'"],
    ['names that resolve to them', EGRESS, 'a name that resolves to'], ['rebinding', EGRESS, 'was public when it was judged'], ['redirects to them', EGRESS, 'are asked about at each hop'], ['userinfo', SSRF, "'a password'"], ['file:, ftp:, gopher:, data:', SSRF, "'gopher'"], ['odd ports', SSRF, "'Redis'"],
    ['endless or exploding bodies', EGRESS, 'cuts an endless body'], ['auth headers across origins', EGRESS, 'leave credentials behind at another origin'], ['proxy variables', EGRESS, 'reads no proxy variables'], ['against running nodes, in each mode', 'conformance/http/bad-input-outbound.test.ts', 'was never called'],
  ]),
  ...rows('Webhooks', [['missing signature', HOOKS, "'without a signature'"], ['old signature', HOOKS, "'ten minutes old'"], ['wrong signature', HOOKS, "'with a wrong signature'"], ['changed byte', HOOKS, "'with one changed byte'"], ['two signatures during rotation', HOOKS, 'as during rotation'], ['a retry keeps its id', 'conformance/http/bad-input-outbound.test.ts', 'tried again keeps its id']]),
  ...rows('Federation', [
    ['no client certificate', PEERS, "'no client certificate'"], ['right CA, wrong SAN', PEERS, 'right authority'], ['issuer ≠ SAN', PEERS, 'an issuer other than'], ['a jti twice', PEERS, "'one jti twice'"], ['lifetime > 60 s', PEERS, 'more than 60 s'], ['wrong body digest', PEERS, 'another body'],
    ['body tenant ≠ claim', PEERS, 'other than the one in the claims'], ["another tenant's events", PEERS, "another tenant's events"], ['a conflicting event at a taken sequence', PEERS, 'sequence that is taken'], ['a forward loop', PEERS, "'a forward loop'"], ['a retried forward', TRUST, 'a forward that is tried again'], ['an events URL to an unregistered host', TRUST, 'a host that is no peer'],
  ]),
  ...rows('Agents', [['tool output that asks for a forbidden tool', RACES, 'because a tool told it to'], ['deny beats allow', RACES, 'a deny that beats an allow'], ['endless loops stop at max_steps', RACES, 'stops at max_steps'], ['a canary secret never appears', 'conformance/http/canary.test.ts', 'was printed by no process']]),
  ...rows('Races', [
    ['cancel against completion', RACES, 'cancel against completion'], ['two cancels', RACES, 'two cancels at once'], ['a quota lowered in flight', RACES, 'a quota that is lowered'], ['a budget window that rolls over with open holds', 'conformance/ports/suites/usage.ts', 'begins anew with the next window'],
  ]),
];
