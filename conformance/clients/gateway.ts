/**
 * A running Model Policy in front of a stub that speaks OpenAI's wire format, and a key for it: what a client of OpenAI's
 * API needs, which is a base URL and a key.
 */
import { createApiKey } from '../../services/platform/auth/api-key.ts';
import type { TenantCreate } from '../../generated/types/index.ts';
import { startModelStub, type ModelStub, type StubAnswer, type StubCall } from '../../services/model-policy/fixture/model-server-stub.ts';
import { authOf, startModelPolicy, type RunningModelPolicy } from '../../services/model-policy/fixture/running-model-policy.ts';
import { framesOpenAi, hearOpenAi, wholeOpenAi } from '../../services/model-policy/fixture/vendor-openai.ts';
import type { SaidAnswer } from '../../services/model-policy/fixture/vendor-stub.ts';

export interface Gateway {
  /** With `/v1`, as clients want it. */
  readonly baseURL: string;
  readonly service: RunningModelPolicy;
  readonly upstream: ModelStub;
  /** Chat calls that reached the backend. */
  asked(): StubCall[];
  keyFor(tenantId: string): Promise<string>;
  /** What the backend says from now on, streamed or not as it is asked. */
  says(answer: Partial<SaidAnswer>): void;
  /** Its next streams break off after this many chunks of what it says. */
  breaksAfter(chunks: number): void;
  /** Its next answer is this one. */
  failsOnce(answer: StubAnswer): void;
  close(): Promise<void>;
}

export const CHAT_MODEL = 'stub-chat';
export const EMBED_MODEL = 'stub-embed';

const SAID: SaidAnswer = { texts: ['Hello', ' there', '.'], calls: [], usage: { input: 19, output: 10 }, finish: 'stop' };
const VECTOR = [0.25, -0.5, 0.125, 1];

export async function startGateway(tenants: readonly TenantCreate[] = []): Promise<Gateway> {
  const upstream = await startModelStub();
  const service = await startModelPolicy({
    env: { OPENAI_BASE_URL: upstream.baseUrl, OPENAI_API_KEY: 'sk-upstream', AGENTOS_MODEL_OPENAI_MODELS: `fast+balanced+premium=${CHAT_MODEL}@1/2#128000,embed=${EMBED_MODEL}@0.1` },
    tenants: [{ tenant_id: 'tnt_test' }, ...tenants],
  });
  let said: SaidAnswer = SAID;
  const speak = (): void => { upstream.answer = (call) => answer(said, call); };
  speak();
  return {
    baseURL: `${service.url}/v1`, service, upstream,
    asked: () => upstream.calls.filter((call) => call.path.endsWith('/chat/completions')),
    async keyFor(tenantId) {
      const { secret, record } = createApiKey({ tenantId, principalId: 'usr_client', principalType: 'user', scopes: ['models:invoke', 'models:list'], roles: [] });
      await service.directory.putApiKey(authOf(tenantId), record);
      return secret;
    },
    says(more) {
      said = { ...SAID, finish: (more.calls?.length ?? 0) > 0 ? 'tool_calls' : 'stop', ...more };
      speak();
    },
    breaksAfter(chunks) {
      upstream.answer = (call) => {
        const whole = answer(said, call);
        return whole.kind === 'stream' ? { ...whole, chunks: whole.chunks.slice(0, chunks), then: 'cut' } : whole;
      };
    },
    failsOnce(failure) {
      upstream.answer = (call) => {
        // Whoever looks after the backend's health asks now and then as well: the failure is not for them.
        if (!call.path.endsWith('/chat/completions')) return answer(said, call);
        speak();
        return failure;
      };
    },
    async close() {
      await service.close();
      await upstream.close();
    },
  };
}

function answer(said: SaidAnswer, call: StubCall): StubAnswer {
  const { operation, stream, texts } = hearOpenAi(call);
  if (operation === 'embed') {
    return { kind: 'json', body: { object: 'list', model: EMBED_MODEL, data: texts.map((_text, index) => ({ object: 'embedding', index, embedding: VECTOR.map((number) => number * (index + 1)) })), usage: { prompt_tokens: 4 * texts.length, total_tokens: 4 * texts.length } } };
  }
  return stream ? { kind: 'stream', contentType: 'text/event-stream', chunks: framesOpenAi(said), betweenMs: 1 } : { kind: 'json', body: wholeOpenAi(said) };
}
