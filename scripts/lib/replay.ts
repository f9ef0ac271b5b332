/** How a replay reads: one line a decision, what differs below it, what the log lacks, and the verdict. */
import type { RunReplayAnswer } from '../../generated/types/index.ts';
import type { Output } from './output.ts';

type Decision = RunReplayAnswer['decisions'][number];

const brief = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= 300 ? text : `${text.slice(0, 297)}...`;
};

/** What a step is called in one line; its identifiers are for machines. */
function nameOf({ expected, actual }: Decision): string {
  const { tool_id: tool, model_ref: model, code } = (expected ?? actual ?? {}) as Record<string, unknown>;
  return String(tool ?? model ?? code ?? '');
}

export function replayText(replay: RunReplayAnswer, style: Output['style']): string {
  const lines = replay.decisions.map((decision) => {
    const mark = decision.agreed ? style('green', 'same') : style('red', 'differs');
    const line = `${String(decision.step).padStart(4)}  ${decision.kind.padEnd(7)} ${nameOf(decision).padEnd(32)} ${mark}`.trimEnd();
    return decision.agreed ? line : `${line}\n      the log says    ${brief(decision.expected)}\n      decided now     ${brief(decision.actual)}`;
  });
  for (const { sequence, what } of replay.missing) lines.push(`${style('yellow', 'missing')}  ${sequence === undefined ? '' : `event ${sequence}: `}${what}`);
  lines.push(replay.agreed ? `${replay.run_id}: the log leads to the same ${replay.steps} ${replay.steps === 1 ? 'step' : 'steps'}; nothing was called.` : `${replay.run_id}: ${verdict(replay)}`);
  return lines.join('\n');
}

function verdict({ decisions, missing }: RunReplayAnswer): string {
  const different = decisions.filter((decision) => !decision.agreed).length;
  return [different === 0 ? null : `${different} of ${decisions.length} decisions differ`, missing.length === 0 ? null : `the log lacks ${missing.length} thing${missing.length === 1 ? '' : 's'}`].filter((part) => part !== null).join('; ');
}
