/** Every query of rules and dashboards, with where it stands and which labels its texts use. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const OBSERVABILITY = fileURLToPath(new URL('../../deploy/observability', import.meta.url));
export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

export interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Asked {
  /** File, and rule or panel. */
  readonly where: string;
  readonly expression: string;
  /** Labels that a legend or a text of an alert puts in. */
  readonly uses: readonly string[];
}

export function rules(): readonly Rule[] {
  const folder = path.join(OBSERVABILITY, 'prometheus', 'rules');
  return readdirSync(folder).sort().flatMap((file) => (parse(readFileSync(path.join(folder, file), 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules));
}

export const alerts = (): readonly (Rule & { readonly alert: string })[] => rules().filter((rule): rule is Rule & { readonly alert: string } => rule.alert !== undefined);
/** In an order in which each stands after what it asks for. */
export const recordings = (): readonly (Rule & { readonly record: string })[] => rules().filter((rule): rule is Rule & { readonly record: string } => rule.record !== undefined);

export function askedByAlerts(): readonly Asked[] {
  return alerts().map((rule) => ({
    where: rule.alert,
    expression: rule.expr,
    uses: Object.values(rule.annotations ?? {}).flatMap((text) => [...text.matchAll(/\$labels\.(\w+)/g)].map((match) => match[1]!)),
  }));
}

interface PanelJson {
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
}

export interface DashboardJson {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly PanelJson[];
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string; readonly titleFormat: string; readonly textFormat: string }[] };
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[] };
}

export function dashboards(): ReadonlyMap<string, DashboardJson> {
  const folder = path.join(OBSERVABILITY, 'grafana', 'dashboards');
  return new Map(readdirSync(folder).sort().map((file) => [file, JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as DashboardJson]));
}

const inBraces = (text: string): string[] => [...text.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map((match) => match[1]!);

export function askedByDashboards(): readonly Asked[] {
  return [...dashboards()].flatMap(([file, { panels, annotations, templating }]) => [
    ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr, legendFormat = '' }) => ({ where: `${file}: ${title}`, expression: expr, uses: inBraces(legendFormat) }))),
    ...annotations.list.map(({ name, expr, titleFormat, textFormat }) => ({ where: `${file}: annotation ${name}`, expression: expr, uses: inBraces(titleFormat + textFormat) })),
    ...templating.list.flatMap(({ name, definition }) => {
      const values = /^label_values\((\w+), (\w+)\)$/.exec(definition ?? '');
      return values === null ? [] : [{ where: `${file}: variable ${name}`, expression: values[1]!, uses: [values[2]!] }];
    }),
  ]);
}
