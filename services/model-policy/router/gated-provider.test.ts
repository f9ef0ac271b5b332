/** What a gated stream counts, whoever ends it and when. */
import { describe, expect, it } from 'vitest';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { Departure } from '../../platform/departure.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { ProviderChatRequest, ProviderChunk, ProviderPort } from '../ports/provider.ts';
import { Circuit } from './circuit.ts';
import { GatedProvider } from './gated-provider.ts';

const AUTH = { tenant_id: 't', principal: { principal_id: 'p', principal_type: 'user' }, scopes: [] } as AuthContext;
const CHUNKS: readonly ProviderChunk[] = [{ type: 'content', text: 'a' }, { type: 'usage', usage: { inputTokens: 1, outputTokens: 1 } }, { type: 'finish', reason: 'stop' }];

function gated(most: number, fail: boolean = false) {
  const seen = { begun: 0, left: 0 };
  const inner = {
    async *chatStream() {
      seen.begun += 1;
      try {
        for (const chunk of CHUNKS) yield chunk;
        if (fail) throw new AgentOsError('dependency_unavailable', { message: 'Broken.' });
      } finally {
        seen.left += 1;
      }
    },
  } as unknown as ProviderPort;
  const provider = new GatedProvider('b', inner, new Circuit(), most, 1_000);
  const open = () => provider.chatStream(AUTH, {} as ProviderChatRequest, { signal: new Departure(), traceparent: '' })[Symbol.asyncIterator]();
  return { provider, seen, open };
}

describe('a gated stream', () => {
  it('hands every piece on and lets the next one in when it has ended', async () => {
    const { provider, open } = gated(1);
    const got: ProviderChunk[] = [];
    const stream = open();
    for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
      got.push(next.value);
      expect(provider.inFlight).toBe(1);
    }
    expect([got, provider.inFlight]).toEqual([CHUNKS, 0]);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it('counts a break once, and a reader that leaves not at all', async () => {
    const broken = gated(2, true);
    const stream = broken.open();
    await expect((async () => { for (;;) if ((await stream.next()).done === true) return; })()).rejects.toMatchObject({ code: 'dependency_unavailable' });
    expect([broken.provider.inFlight, broken.provider.circuit.healthy, broken.seen.left]).toEqual([0, false, 1]);
    const { provider, seen, open } = gated(2);
    const left = open();
    await left.next();
    await left.return!();
    await left.return!();
    expect([provider.inFlight, provider.circuit.healthy, seen.left]).toEqual([0, true, 1]);
  });

  it('that is left while it stands in line begins nothing and keeps no place', async () => {
    const { provider, seen, open } = gated(1);
    const [inside, waiting] = [open(), open()];
    await inside.next();
    const first = waiting.next();
    await waiting.return!();
    await inside.return!();
    expect(await first).toEqual({ done: true, value: undefined });
    expect([provider.inFlight, seen.begun]).toEqual([0, 1]);
  });
});
