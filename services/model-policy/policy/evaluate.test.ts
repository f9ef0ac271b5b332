import { describe, expect, it } from 'vitest';
import type { PolicyRule, PolicyRuleSet } from '../ports/policy-rules.ts';
import { DEFAULT_RULES } from './default-rules.ts';
import type { PolicyContext } from '../../platform/tenancy/auth-context.ts';
import { Judgement, type Caller } from './evaluate.ts';
import { guarded, judgeAnswer, judgeChat, judgeTexts } from './guard.ts';

const CARD = '4111 1111 1111 1111';

function rules(...list: PolicyRule[]): PolicyRuleSet {
  return { policyId: 'pol_test', version: 1, source: 'tenant', description: null, rules: list, updatedAtMs: null };
}
const pii = (action: 'redact' | 'block' | 'allow', ...types: string[]): PolicyRule => ({ id: `${action}-${types.join('-')}`, kind: 'pii', types, action });
const denied = (...terms: string[]): PolicyRule => ({ id: 'words', kind: 'terms', terms, action: 'block' });

describe('Judgement', () => {
  it('redacts by kind, counts by place, and never repeats the text', () => {
    const judgement = new Judgement(rules(pii('redact', 'email', 'card')));
    expect(judgement.text(`a@b.example paid with ${CARD}, copy to c@d.example`, '/input/messages/0/content'))
      .toBe('[redacted:email] paid with [redacted:card], copy to [redacted:email]');
    const verdict = judgement.verdict();
    expect(verdict).toEqual({
      decision: 'redacted',
      reasons: ['pii.email.redacted', 'rule:redact-email-card', 'pii.card.redacted'],
      redactions: [
        { type: 'email', place: '/input/messages/0/content', count: 2 },
        { type: 'card', place: '/input/messages/0/content', count: 1 },
      ],
    });
    expect(JSON.stringify(verdict)).not.toContain('example');
  });

  it('blocks where the rule says so, and blocking beats redacting', () => {
    const judgement = new Judgement(rules(pii('redact', 'email'), pii('block', 'ssn')));
    judgement.text('a@b.example 123-45-6789', 'input');
    expect(judgement.verdict().decision).toBe('blocked');
    expect(judgement.verdict().reasons).toEqual(['pii.email.redacted', 'rule:redact-email', 'pii.ssn.blocked', 'rule:block-ssn']);
  });

  it.each(['our Secret-Project plan', 'SECRET-PROJECT', 'secret\u200b-project', 'ｓｅｃｒｅｔ-project', 'se\u034fcret-project', 'secret-\u2066pro\u2069ject', 's\u{e0061}ecret-proj\ufe0fect', 'secret-\u3164project'])('finds a denied term in %j', (text) => {
    const judgement = new Judgement(rules(denied('secret-project')));
    judgement.text(text, 'input');
    expect(judgement.verdict()).toMatchObject({ decision: 'blocked', reasons: ['denied_term', 'rule:words'] });
  });

  it.each([
    ['4111\u200b 1111\u00ad 1111 11\u206011', '[redacted:card]'], ['\u202a4111111111111111\u202c', '\u202a[redacted:card]\u202c'],
    ['ann\u200b@exa\u{e0020}mple.com', '[redacted:email]'], ['AKIA\u200dIOSFODNN7EXAMPLE', '[redacted:secret]'],
  ])('finds what invisible characters stand in: %j', (text, expected) => {
    const judgement = new Judgement(rules(pii('redact', 'card', 'email', 'secret')));
    expect(judgement.text(`a ${text} b`, 'input')).toBe(`a ${expected} b`);
    const redactor = new Judgement(rules(pii('redact', 'card', 'email', 'secret'))).redactor('input');
    expect([...`a ${text} b`].map((unit) => redactor.feed(unit)).join('') + redactor.flush(), 'however it comes').toBe(`a ${expected} b`);
  });

  it('matches whole words only and treats terms as text', () => {
    const judgement = new Judgement(rules(denied('ass', 'a.b', '  ')));
    judgement.text('pass the class, axb', 'input');
    expect(judgement.verdict().decision).toBe('allowed');
  });

  it('covers strings, keys and long numbers of JSON values without polluting prototypes', () => {
    const judgement = new Judgement(DEFAULT_RULES);
    const value = JSON.parse(`{"a":[{"card":4111111111111111}],"${CARD}":1,"n":42,"__proto__":{"x":"${CARD}"}}`) as unknown;
    const out = judgement.value(value, '/output/tool_calls/0/input') as Record<string, unknown>;
    expect(JSON.stringify(out)).toBe('{"a":[{"card":"[redacted:card]"}],"[redacted:card]":1,"n":42,"__proto__":{"x":"[redacted:card]"}}');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
    expect(judgement.verdict().redactions).toEqual([{ type: 'card', place: '/output/tool_calls/0/input', count: 3 }]);
  });

  it('lets the first rule that names a type decide, in its direction', () => {
    const judgement = new Judgement(rules(
      { id: 'mail-in', kind: 'pii', types: ['email'], action: 'allow', direction: 'request' },
      { id: 'mail', kind: 'pii', types: ['email'], action: 'redact' },
      { id: 'rest', kind: 'pii', types: 'all', action: 'block', direction: 'response' },
    ));
    expect(judgement.text('a@b.example', '/in')).toBe('a@b.example');
    judgement.turnToAnswer();
    expect(judgement.text('a@b.example', '/out')).toBe('[redacted:email]');
    expect(judgement.isBlocked).toBe(false);
    judgement.text(CARD, '/out');
    expect(judgement.verdict().reasons).toEqual(['pii.email.redacted', 'rule:mail', 'pii.card.blocked', 'rule:rest']);
  });

  it('lets an earlier rule allow what a later one denies, and no more', () => {
    const set = rules({ id: 'ok', kind: 'terms', terms: ['falcon heavy'], action: 'allow' }, denied('falcon'));
    const blocks = (text: string): boolean => {
      const judgement = new Judgement(set);
      judgement.text(text, '/in');
      return judgement.isBlocked;
    };
    expect(blocks('the Falcon  Heavy rocket')).toBe(false);
    expect(blocks('the Falcon Heavy rocket and the falcon')).toBe(true);
  });

  it('keeps tools to the entitlement and to the rules, by their ids', () => {
    const reasonsOf = (caller: Caller, set: PolicyRuleSet, ...ids: string[]): readonly string[] => {
      const judgement = new Judgement(set, caller);
      for (const id of ids) judgement.tool({ tool_id: id, name: id.replaceAll('.', '_') });
      return judgement.verdict().reasons;
    };
    const anyone = { toolsEntitled: null, context: {} };
    expect(reasonsOf(anyone, rules(), 'tool.shell.run')).toEqual([]);
    expect(reasonsOf({ ...anyone, toolsEntitled: ['tool.echo'] }, rules(), 'tool.echo', 'tool.http.fetch')).toEqual(['tool_not_entitled']);
    expect(reasonsOf({ ...anyone, toolsEntitled: [] }, rules(), 'tool.echo')).toEqual(['tool_not_entitled']);
    const set = rules({ id: 'no-shell', kind: 'tools', deny: ['tool.shell.*'] }, { id: 'crm', kind: 'tools', allow: ['tool.crm.*', 'tool.shell.ls'] });
    expect(reasonsOf(anyone, set, 'tool.crm.find')).toEqual([]);
    expect(reasonsOf(anyone, set, 'tool.shell.ls')).toEqual(['tool_denied', 'rule:no-shell']);
    const spoof = new Judgement(set);
    spoof.tool({ tool_id: 'tool.bank.pay', name: 'tool.crm.find' });
    expect(spoof.verdict().reasons).toEqual(['tool_not_allowed', 'rule:crm']);
  });

  it('sends data only where the rules let it go', () => {
    const model = { modelId: 'm', backend: 'b', tiers: ['fast'], aliases: [], attributes: { region: 'eu-west-1', dataClassification: ['internal'] } };
    const set = rules(
      { id: 'eu', kind: 'attributes', when: { data_classification: ['confidential'] }, require: { region: ['eu-central-1'] } },
      { id: 'cleared', kind: 'attributes', require: { data_classification: ['context'] } },
      { id: 'slow', kind: 'models', deny: ['tier:premium', 'x'] },
    );
    const refusal = (context: PolicyContext, change = {}): string | null => new Judgement(set, { toolsEntitled: null, context }).refusalOf({ ...model, ...change })?.reason ?? null;
    expect(refusal({ data_classification: 'internal' })).toBeNull();
    expect(refusal({ data_classification: 'confidential' })).toBe('region_not_allowed');
    expect(refusal({ data_classification: 'secret' })).toBe('classification_not_cleared');
    expect(refusal({})).toBe('classification_not_cleared');
    expect(refusal({ data_classification: 'internal' }, { attributes: undefined })).toBe('classification_not_cleared');
    expect(refusal({ data_classification: 'internal' }, { tiers: ['premium'] })).toBe('model_denied');
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
      '/input/messages/0/content', '/input/messages/1/content', '/input/messages/1/name',
      '/input/messages/2/tool_calls/0/input', '/input/messages/3/content',
      '/input/tools/0/description', '/input/tools/0/input_schema',
    ]);
  });

  it.each([
    ['the name of a tool', { tools: [{ tool_id: 'tool.x', name: 'secret_project', input_schema: {} }] }],
    ['the name of a tool, a number', { tools: [{ tool_id: 'tool.x', name: 'card_4111111111111111', input_schema: {} }] }],
    ['the name of a tool that was called', { messages: [{ role: 'assistant' as const, content: null, tool_calls: [{ tool_call_id: 't1', tool_id: 'x', name: `of ${CARD}`, input: {} }] }] }],
    ['the id of a call', { messages: [{ role: 'assistant' as const, content: null, tool_calls: [{ tool_call_id: 'the secret project', tool_id: 'x', name: 'x', input: {} }] }] }],
    ['the id of an answered call', { messages: [{ role: 'tool' as const, content: '', tool_call_id: `of ${CARD}` }] }],
  ])('blocks what cannot be redacted, since something goes by it: %s', (_what, chat) => {
    const judgement = new Judgement(rules(pii('redact', 'card'), denied('secret project')));
    judgeChat(judgement, { messages: [], tools: [], ...chat });
    expect(judgement.verdict().decision).toBe('blocked');
    expect(JSON.stringify(judgement.verdict())).not.toMatch(/4111|project/);
  });

  it('lets the ids pass that vendors make up', () => {
    const judgement = new Judgement(DEFAULT_RULES);
    for (const id of ['call_4111111111111111', 'toolu_01A09q90qw90lq917835lq9', 'chatcmpl-tool-4012888888881881', '0']) {
      judgeChat(judgement, { messages: [{ role: 'tool', content: '', tool_call_id: id }], tools: [{ tool_id: 'tool.sql.query', name: 'sql_query', input_schema: {} }] });
    }
    expect(judgement.verdict().decision).toBe('allowed');
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

  it('finds the same terms among many others, where no pattern of first words is searched for beforehand', () => {
    const others = Array.from({ length: 100 }, (_, place) => `never said ${place} word${place}`).map((term, place) => `z${place}z ${term}`);
    const texts = ['Project  Nightingale is on', 'the project is on', 'PROJECT\tNIGHTINGALE', 'pro\u00adject nightingale', 'ＰＲＯＪＥＣＴ nightingale', 'projectnightingale', 'c++ is fine', 'C++', '(project nightingale)', '$5.00', 'costs $5.00?', ''];
    const terms = ['project nightingale', 'c++', '$5.00'];
    const verdictOf = (more: readonly string[], text: string) => {
      const judgement = new Judgement(rules(denied(...terms, ...more)));
      judgement.text(text, '/t');
      return judgement.isBlocked;
    };
    expect(texts.map((text) => verdictOf([], text))).toEqual(texts.map((text) => verdictOf(others, text)));
    expect(texts.map((text) => verdictOf([], text))).toEqual([true, false, true, true, true, false, true, true, true, true, true, false]);
  });

  it('takes at most 200 ms over a large text and a thousand terms made to be slow', () => {
    const terms = Array.from({ length: 1_000 }, (_, place) => `${'a '.repeat(10)}${place}`);
    const set = rules(denied(...terms), pii('redact', 'email'));
    for (const text of ['a '.repeat(32 * 1024), 'word '.repeat(50_000), 'É'.repeat(200_000), '\u200b'.repeat(200_000)]) {
      const times = [1, 2, 3].map(() => {
        const before = process.cpuUsage();
        guarded(new Judgement(set), text, (judgement, value) => judgement.text(value, '/in'), () => undefined);
        return process.cpuUsage(before).user / 1000;
      });
      expect(Math.min(...times), JSON.stringify(text.slice(0, 8))).toBeLessThan(200);
    }
  });
});
