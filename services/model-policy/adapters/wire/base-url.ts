/** Where a model server is found. */
export interface BaseUrl {
  /** `https://host:port` */
  readonly origin: string;
  /** Without a slash at its end; '' for the root. */
  readonly path: string;
  /** As it stands in `route.node`. */
  readonly host: string;
}

/**
 * http or https, without user, query or fragment: keys travel in headers, and paths are put behind the URL.
 * @throws Error whose message names what is wrong and does not repeat the URL, which may hold a password.
 */
export function parseBaseUrl(text: string): BaseUrl {
  if (!URL.canParse(text)) throw new Error('the base URL is no URL; write it as http://127.0.0.1:8000/v1');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error(`the base URL has the scheme ${url.protocol.slice(0, -1)}; it must be http or https`);
  if (url.username !== '' || url.password !== '') throw new Error('the base URL holds a user or password; keys are configured apart from it');
  if (url.search !== '' || url.hash !== '') throw new Error('the base URL has a query or a fragment; it must end with the path');
  return { origin: url.origin, path: url.pathname.replace(/\/+$/, ''), host: url.host };
}
