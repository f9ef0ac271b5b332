/**
 * Judges a text that comes in pieces. What is given out, joined, is what the whole text would have become, however it
 * was split: a piece is held until it is known that no finding can reach over its end. The window is bounded; ordinary
 * prose waits for a word or two, lists of numbers for a few hundred characters.
 */
import type { CompiledText } from './compile-rules.ts';
import type { DetectState } from './detect.ts';
import { forcedCut, lastCut, lateCut, LOOKBACK, MAX_SEGMENT, REACH } from './segments.ts';

/** What is made of one segment of a text. */
export type JudgeSegment = (segment: string, state: DetectState) => string;

/** Characters before the held ones that cuts are judged by. */
const CONTEXT_KEPT = 1_024 + LOOKBACK;

const LATE_FROM = 1_024;

export class StreamRedactor {
  readonly #compiled: CompiledText;
  readonly #judge: JudgeSegment;
  readonly #state: DetectState;
  /** What was given out last, and behind it what is held. */
  #text = '';
  #from = 0;
  /** Up to here there is no cut. */
  #searched = 0;
  /** Characters held before a late cut is looked for: twice as many where there was none. */
  #lateFrom = LATE_FROM;

  constructor(compiled: CompiledText, judge: JudgeSegment, state: DetectState) {
    this.#compiled = compiled;
    this.#judge = judge;
    this.#state = state;
  }

  /** What may go out now. */
  feed(text: string): string {
    if (this.#compiled.isIdle) return text;
    this.#text += text;
    return this.#drain(false);
  }

  /** The rest. */
  flush(): string {
    const out = this.#drain(true);
    const rest = this.#text.slice(this.#from);
    this.#from = this.#text.length;
    return rest === '' ? out : out + this.#judge(rest, this.#state);
  }

  get held(): number {
    return this.#text.length - this.#from;
  }

  #drain(isComplete: boolean): string {
    let out = '';
    for (;;) {
      const held = this.#text.length - this.#from;
      // At the end all that fits into one segment is one.
      if (held === 0 || (isComplete && held <= MAX_SEGMENT)) break;
      const end = Math.min(this.#text.length, this.#from + MAX_SEGMENT);
      const cut = lastCut(this.#text, this.#from, Math.max(this.#from, this.#searched), end, this.#compiled);
      this.#searched = end;
      if (cut !== null) out += this.#give(cut);
      else if (!isComplete && held >= this.#lateFrom && held < MAX_SEGMENT) {
        const late = lateCut(this.#text, this.#from, this.#compiled);
        if (late === null) {
          this.#lateFrom = held * 2;
          break;
        }
        out += this.#give(late);
      } else if (held >= MAX_SEGMENT + REACH || (isComplete && held > MAX_SEGMENT)) out += this.#give(forcedCut(this.#text, this.#from, this.#compiled, this.#state));
      else break;
    }
    if (this.#from > 4 * CONTEXT_KEPT) {
      const dropped = this.#from - CONTEXT_KEPT;
      this.#text = this.#text.slice(dropped);
      this.#from -= dropped;
      this.#searched = Math.max(0, this.#searched - dropped);
    }
    return out;
  }

  #give(to: number): string {
    const segment = this.#text.slice(this.#from, to);
    this.#from = to;
    this.#lateFrom = LATE_FROM;
    // What lies behind the cut was searched only where the search went backwards past it.
    if (this.#searched < to) this.#searched = to;
    return this.#judge(segment, this.#state);
  }
}
