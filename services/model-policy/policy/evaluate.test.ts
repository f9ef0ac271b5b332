import { describe, expect, it } from 'vitest';
import type { PolicyRuleSet } from '../ports/policy-rules.ts';
import { DEFAULT_RULES } from './default-rules.ts';
import { Judgement } from './evaluate.ts';
import { guarded, judgeAnswer, judgeChat, judgeTexts } from './guard.ts';

const CARD = '4111 1111 1111 1111';

function rules(overrides: Partial<PolicyRuleSet>): PolicyRuleSet {
  return { policyId: 'pol_test', pii: {}, deniedTerms: [], ...overrides };
}

describe('Judgement', () => {
  it('redacts by kind, counts by place, and never repeats the text', () => {
    const judgement = new Judgement(rules({ pii: { email: 'redact', card: 'redact' } }));
    expect(judgement.text(`a@b.example paid with ${CARD}, copy to c@d.example`, 'input.messages[0].content'))
      .toBe('[redacted:email] paid with [redacted:card], copy to [redacted:email]');
    const verdict = judgement.verdict();
    expect(verdict).toEqual({
      decision: 'redacted',
      reasons: ['pii.email.redacted', 'pii.card.redacted'],
      redactions: [
        { type: 'email', place: 'input.messages[0].content', count: 2 },
        { type: 'card', place: 'input.messages[0].content', count: 1 },
      ],
    });
    expect(JSON.stringify(verdict)).not.toContain('example');
  });

  it('blocks where the rule says so, and blocking beats redacting', () => {
    const judgement = new Judgement(rules({ pii: { email: 'redact', ssn: 'block' } }));
    judgement.text('a@b.example 123-45-6789', 'input');
    expect(judgement.verdict().decision).toBe('blocked');
    expect(judgement.verdict().reasons).toEqual(['pii.email.redacted', 'pii.ssn.blocked']);
  });

  it.each(['our Secret-Project plan', 'SECRET-PROJECT', 'secret\u200b-project', 'ｓｅｃｒｅｔ-project'])('finds a denied term in %j', (text) => {
    const judgement = new Judgement(rules({ deniedTerms: ['secret-project'] }));
    judgement.text(text, 'input');
    expect(judgement.verdict()).toMatchObject({ decision: 'blocked', reasons: ['denied_term'] });
  });

  it('matches whole words only and treats terms as text', () => {
    const judgement = new Judgement(rules({ deniedTerms: ['ass', 'a.b', '  '] }));
    judgement.text('pass the class, axb', 'input');
    expect(judgement.verdict().decision).toBe('allowed');
  });

  it('covers strings, keys and long numbers of JSON values without polluting prototypes', () => {
    const judgement = new Judgement(DEFAULT_RULES);
    const value = JSON.parse(`{"a":[{"card":4111111111111111}],"${CARD}":1,"n":42,"__proto__":{"x":"${CARD}"}}`) as unknown;
    const out = judgement.value(value, 'output.tool_calls[0].input') as Record<string, unknown>;
    expect(JSON.stringify(out)).toBe('{"a":[{"card":"[redacted:card]"}],"[redacted:card]":1,"n":42,"__proto__":{"x":"[redacted:card]"}}');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
    expect(judgement.verdict().redactions).toEqual([{ type: 'card', place: 'output.tool_calls[0].input', count: 3 }]);
  });

  it('allows and leaves alone what no rule names', () => {
    const judgement = new Judgement(DEFAULT_RULES);
    expect(judgement.text('mail a@b.example, +1 415 555 2671', 'input')).toBe('mail a@b.example, +1 415 555 2671');
    expect(judgement.verdict()).toEqual({ decision: 'allowed', reasons: [], redactions: [] });
  });
});

describe('guard', () => {
  it('judges every text-bearing member of a chat', () => {
    const judgement = new Judgement(DEFAULT_RULES);
    const chat = judgeChat(judgement, {
      messages: [
        { role: 'system', content: `s ${CARD}` },
        { role: 'user', content: `u ${CARD}`, name: `n ${CARD}` },
        { role: 'assistant', content: null, tool_calls: [{ tool_call_id: 't1', tool_id: 'tool.kv.put', name: 'kv_put', input: { value: CARD } }] },
        { role: 'tool', content: `{"value":"${CARD}"}`, tool_call_id: 't1' },
      ],
      tools: [{ tool_id: 'tool.x', name: 'x', description: `d ${CARD}`, input_schema: { default: CARD } }],
    });
    expect(JSON.stringify(chat)).not.toContain('4111');
    expect(judgement.verdict().redactions.map((each) => each.place)).toEqual([
      'input.messages[0].content', 'input.messages[1].content', 'input.messages[1].name',
      'input.messages[2].tool_calls[0].input', 'input.messages[3].content',
      'input.tools[0].description', 'input.tools[0].input_schema',
    ]);
  });

  it('judges texts to embed and answers with their tool calls', () => {
    const judgement = new Judgement(DEFAULT_RULES);
    expect(judgeTexts(judgement, ['fine', CARD])).toEqual(['fine', '[redacted:card]']);
    const answer = judgeAnswer(judgement, {
      message: { role: 'assistant' as const, content: `here: ${CARD}` },
      toolCalls: [{ tool_call_id: 't', tool_id: 'tool.echo', name: 'echo', input: { text: CARD } }],
    });
    expect(JSON.stringify(answer)).not.toContain('4111');
  });

  it('blocks when the guard itself fails', () => {
    const errors: unknown[] = [];
    const judgement = new Judgement(DEFAULT_RULES);
    guarded(judgement, 'text', () => { throw new Error('broken'); }, (error) => errors.push(error));
    expect(judgement.verdict()).toEqual({ decision: 'blocked', reasons: ['guard_failed'], redactions: [] });
    expect(errors).toHaveLength(1);
  });
});
