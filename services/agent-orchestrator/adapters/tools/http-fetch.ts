/**
 * tool.http.fetch: requests a URL under the egress rules of the node and the hosts that the agent is permitted. The
 * answer is cut where a prompt would become too long.
 */
import type { EgressClient, EgressResponse } from '../../../platform/egress/egress-client.ts';
import { hostOf, refusedEgress } from '../../../platform/egress/egress-policy.ts';
import { mayReach } from '../../runtime/permissions.ts';
import type { BuiltinTool } from './builtin-tool.ts';

/** Of the body, unpacked, as far as the model sees it. */
const MAX_SHOWN_BYTES = 48 * 1024;
const MAX_SENT_CHARACTERS = 64 * 1024;
/** What says something about the body; the rest is the business of machines. */
const SHOWN_HEADERS = ['content-type', 'content-language', 'last-modified', 'etag', 'location', 'retry-after'] as const;

interface Input {
  readonly url: string;
  readonly method?: 'GET' | 'HEAD' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export const httpFetchTool = (egress: EgressClient): BuiltinTool => ({
  toolId: 'tool.http.fetch',
  name: 'http_fetch',
  description: 'Requests a URL over http or https and returns the status, the main headers and the text of the answer, at most 48 KiB of it.',
  inputSchema: {
    type: 'object',
    properties: {
      url: { type: 'string', minLength: 8, maxLength: 8_192, description: 'An absolute URL.' },
      method: { enum: ['GET', 'HEAD', 'POST'], description: 'GET when absent.' },
      headers: { type: 'object', maxProperties: 16, propertyNames: { pattern: '^[A-Za-z0-9-]+$', maxLength: 64 }, additionalProperties: { type: 'string', maxLength: 2_048 }, description: 'Request headers, e.g. accept.' },
      body: { type: 'string', maxLength: MAX_SENT_CHARACTERS, description: 'Only with POST.' },
    },
    required: ['url'],
    additionalProperties: false,
  },
  outputSchema: {
    type: 'object',
    properties: { status: { type: 'integer' }, url: { type: 'string' }, headers: { type: 'object' }, body: { type: ['string', 'null'] }, truncated: { type: 'boolean' } },
    required: ['status', 'url', 'headers', 'body', 'truncated'],
  },
  reach(input) {
    const url = (input as { url?: unknown } | null)?.url;
    return typeof url === 'string' && URL.canParse(url) ? [{ kind: 'host', name: hostOf(new URL(url)) }] : [];
  },
  async run(_auth, input, signal, invocation) {
    const { url, method = 'GET', headers = {}, body } = input as Input;
    const permissions = invocation?.run?.permissions;
    const { body: stream, ...answer } = await egress.open({
      url, method, headers: { accept: 'text/*, application/json, */*;q=0.5', ...headers }, body: method === 'POST' ? (body ?? '') : null, maxResponseBytes: 64 * 1024 * 1024, signal,
      permit(hop) {
        if (!mayReach(permissions, { kind: 'host', name: hostOf(hop) })) throw refusedEgress('host_not_permitted', `This agent may not call the host ${hostOf(hop)}: its permissions do not name it.`);
      },
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    // Leaving the loop early destroys the stream, and with it the connection.
    for await (const chunk of stream) {
      chunks.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes > MAX_SHOWN_BYTES) break;
    }
    return shown(answer, Buffer.concat(chunks));
  },
});

function shown(answer: EgressResponse, body: Buffer): Readonly<Record<string, unknown>> {
  const headers = Object.fromEntries(SHOWN_HEADERS.flatMap((name) => (answer.headers[name] === undefined ? [] : [[name, answer.headers[name]]])));
  const text = isText(answer.headers['content-type'], body) ? body.subarray(0, MAX_SHOWN_BYTES).toString('utf8') : null;
  return { status: answer.status, url: answer.url, headers, body: text, truncated: body.length > MAX_SHOWN_BYTES };
}

/** Bytes that no text has, in what does not say that it is one. */
function isText(contentType: string | undefined, body: Buffer): boolean {
  if (/^(text\/|application\/([\w.+-]*\+)?(json|xml|javascript|x-ndjson|yaml|x-www-form-urlencoded)\b)/i.test(contentType ?? '')) return true;
  return contentType === undefined && !body.subarray(0, 1_024).includes(0);
}
