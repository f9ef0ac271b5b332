import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { AnswerAssembly } from '../ports/answer-assembly.ts';
import type { PolicyRule } from '../ports/policy-rules.ts';
import { Judgement, type Caller } from '../policy/evaluate.ts';
import { AnswerScreen, type AnswerPiece } from './answer-screen.ts';

const CARD = '4111 1111 1111 1111';
const caller: Caller = { toolsEntitled: null, context: {} };
const judgementOf = (rules: readonly PolicyRule[], of = caller): Judgement => new Judgement({ policyId: 'pol', version: 1, source: 'tenant', description: null, rules, updatedAtMs: null }, of);
const redactCards: PolicyRule = { id: 'cards', kind: 'pii', types: ['card'], action: 'redact' };
const fail = (error: unknown): never => { throw error; };

function argumentPieces(json: string, size: number): AnswerPiece[] {
  const pieces: AnswerPiece[] = [];
  for (let at = 0; at < json.length; at += size) pieces.push({ type: 'tool_call', index: 0, ...(at === 0 ? { id: 'call_1', toolId: 'tool.kv.put', name: 'kv_put' } : {}), argumentsDelta: json.slice(at, at + size) });
  return pieces;
}

function assembled(pieces: readonly AnswerPiece[]) {
  const assembly = new AnswerAssembly();
  for (const piece of pieces) assembly.add(piece);
  assembly.add({ type: 'usage', usage: { inputTokens: 1, outputTokens: 1 } });
  assembly.add({ type: 'finish', reason: 'stop' });
  return assembly.answer()!;
}

describe('AnswerScreen', () => {
  it.each([1, 3, 1_000])('redacts inside the JSON of tool arguments that come in pieces of %i and keeps it JSON', verifies(['PRS-6.2-07'], (size: number) => {
    const judgement = judgementOf([redactCards]);
    const screen = new AnswerScreen(judgement, fail);
    const written = `{"a":"say \\"${CARD}\\"","n":4111111111111111,"u":"\\u0034111 1111 1111 1111"}`;
    const passed = argumentPieces(written, size).flatMap((piece) => screen.push(piece));
    expect(passed).toEqual([]);
    const pieces = screen.end();
    expect(assembled(pieces).toolCalls).toEqual([{ tool_call_id: 'call_1', tool_id: 'tool.kv.put', name: 'kv_put', input: { a: 'say "[redacted:card]"', n: '[redacted:card]', u: '[redacted:card]' } }]);
    expect(judgement.verdict().redactions).toEqual([{ type: 'card', place: '/output/tool_calls/0/input', count: 3 }]);
  }));

  it('blocks a call of a tool that the tenant may not use, as soon as it is named', verifies(['PRS-6.3-04'], () => {
    const judgement = judgementOf([], { ...caller, toolsEntitled: ['tool.echo'] });
    new AnswerScreen(judgement, fail).push(argumentPieces('{"key":"x"}', 3)[0]!);
    expect(judgement.verdict()).toMatchObject({ decision: 'blocked', reasons: ['tool_not_entitled'] });
  }));

  it('passes everything on at once where nothing is looked for', () => {
    const screen = new AnswerScreen(judgementOf([]), fail);
    const pieces: AnswerPiece[] = [{ type: 'content', text: CARD }, ...argumentPieces('{"key":"x"}', 4)];
    expect(pieces.flatMap((piece) => screen.push(piece))).toEqual(pieces);
    expect(screen.end()).toEqual([]);
  });

  it('blocks when the guard fails', () => {
    const judgement = judgementOf([redactCards]);
    const errors: unknown[] = [];
    judgement.value = () => { throw new Error('broken'); };
    const screen = new AnswerScreen(judgement, (error) => errors.push(error));
    screen.push(argumentPieces('{}', 9)[0]!);
    screen.end();
    expect(errors).toHaveLength(1);
    expect(judgement.verdict()).toMatchObject({ decision: 'blocked', reasons: ['guard_failed'] });
  });
});
