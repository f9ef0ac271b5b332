/**
 * What every answer tells a browser that meets it (OWASP REST Security). Answers are data for programs: they are to be
 * neither framed, nor sniffed for a type, nor kept by anybody on the way, and they load nothing.
 */
export const SECURITY_HEADERS = Object.freeze({
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
});

/** Two years, as preload lists ask for; only ever sent over TLS, where alone it means something (RFC 6797 §7.2). */
export const STRICT_TRANSPORT_SECURITY = 'max-age=63072000';
