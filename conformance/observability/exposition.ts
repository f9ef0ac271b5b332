/** Reads the Prometheus text format: which metrics there are, and which values each of their labels takes. */

/** Label names and the values that were seen of them. */
export type Labels = Map<string, Set<string>>;
/** By the name of the series, `_bucket`, `_sum` and `_count` of histograms included. */
export type Exposed = Map<string, Labels>;

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(,?)/;

/** @param into what was read before, to be added to. @param target labels that the scrape adds. */
export function readExposition(text: string, into: Exposed = new Map(), target: Readonly<Record<string, string>> = {}): Exposed {
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const name = NAME.exec(line)?.[0];
    if (name === undefined) throw new Error(`This is no sample: ${line}`);
    const labels = into.get(name) ?? new Map<string, Set<string>>();
    into.set(name, labels);
    const note = (label: string, value: string): void => void (labels.get(label) ?? labels.set(label, new Set()).get(label)!).add(value);
    for (const [label, value] of Object.entries(target)) note(label, value);
    let rest = line.slice(name.length);
    if (!rest.startsWith('{')) continue;
    rest = rest.slice(1);
    for (let match = LABEL.exec(rest); match !== null; match = LABEL.exec(rest)) {
      note(match[1]!, match[2]!);
      rest = rest.slice(match[0].length);
    }
    if (!rest.startsWith('}')) throw new Error(`The labels of this sample cannot be read: ${line}`);
  }
  return into;
}

/** Value of the one series that has these labels; -1 when there is none. */
export function sampleOf(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const line = text.split('\n').find((each) => (each.startsWith(`${name}{`) || each.startsWith(`${name} `)) && Object.entries(labels).every(([label, value]) => each.includes(`${label}="${value}"`)));
  return line === undefined ? -1 : Number(line.split(' ').at(-1));
}
