/** The labelled texts of `corpus.txt`, a third of them held out from tuning. */
import { readFileSync } from 'node:fs';

export interface LabelledText {
  readonly text: string;
  /** UTF-16 offsets into `text`, end exclusive. */
  readonly findings: readonly { readonly kind: string; readonly start: number; readonly end: number }[];
  readonly heldOut: boolean;
}

export function piiCorpus(): readonly LabelledText[] {
  const lines = readFileSync(new URL('./corpus.txt', import.meta.url), 'utf8').split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line, place) => ({ ...labelled(line), heldOut: place % 3 === 2 }));
}

function labelled(line: string): Pick<LabelledText, 'text' | 'findings'> {
  const findings: { kind: string; start: number; end: number }[] = [];
  let text = '';
  let from = 0;
  for (const { index, 0: mark, 1: kind, 2: value } of line.matchAll(/⟦([a-z]+)\|([^⟧]+)⟧/g)) {
    text += line.slice(from, index);
    findings.push({ kind: kind!, start: text.length, end: text.length + value!.length });
    text += value!;
    from = index + mark.length;
  }
  return { text: text + line.slice(from), findings };
}
