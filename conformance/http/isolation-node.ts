/** A test node for the isolation check of scripts/lib/validation/isolation. */
import type { Asked, IsolationNode, Reply } from '../../scripts/lib/validation/isolation/node.ts';
import { storeKeys } from '../harness/keys.ts';
import type { TestNode } from '../harness/node.ts';
import { PLATFORM_SCOPES } from '../../services/platform/tenancy/scopes.ts';

const STREAM_MS = 1_500;

export async function isolationNode(node: TestNode, mode: 'demo' | 'dev' | 'prod'): Promise<IsolationNode> {
  const [secret] = await storeKeys(node.database.url, [{ principalId: 'usr_platform_admin', scopes: PLATFORM_SCOPES, roles: ['platform_operator'] }]);
  return { headersIdentify: mode === 'demo', operator: () => Promise.resolve({ 'x-api-key': secret! }), ask: (asked) => ask(node, asked) };
}

async function ask(node: TestNode, { service, method, path, headers, body }: Asked): Promise<Reply> {
  const base = path.startsWith('/v1/admin/') ? node.adminUrls[service] : node.urls[service];
  const answer = await fetch(`${base}${path}`, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(20_000),
  });
  const streamed = /event-stream|ndjson/.test(answer.headers.get('content-type') ?? '');
  return { status: answer.status, headers: Object.fromEntries(answer.headers), text: streamed ? await beginning(answer) : await answer.text() };
}

/** What a stream says within a moment. */
async function beginning(answer: Response): Promise<string> {
  const reader = answer.body!.getReader();
  const decoder = new TextDecoder();
  let text = '';
  const timer = setTimeout(() => void reader.cancel(), STREAM_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += decoder.decode(value as Uint8Array, { stream: true });
    }
  } catch {
    return text;
  } finally {
    clearTimeout(timer);
  }
}
