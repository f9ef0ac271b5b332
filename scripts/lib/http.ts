/** One HTTP request by node:http: the global fetch costs a command line more time to load than the whole answer takes. */
import { request, type IncomingHttpHeaders } from 'node:http';
import { request as requestOverTls } from 'node:https';

export interface HttpRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** The whole answer. Rejects with the socket's error, or TimeoutError after `timeoutMs` altogether. */
export function requestText(url: string, options: HttpRequest): Promise<HttpAnswer> {
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(timeout.aborted ? (timeout.reason as Error) : error);
    const length = options.body === undefined ? {} : { 'content-length': String(Buffer.byteLength(options.body)) };
    const call = (url.startsWith('https:') ? requestOverTls : request)(url, { method: options.method ?? 'GET', headers: { ...options.headers, ...length }, signal, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      response.on('error', fail);
    });
    call.on('error', fail);
    call.end(options.body);
  });
}
