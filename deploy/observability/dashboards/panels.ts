/**
 * What the dashboards are made of: Grafana's classic dashboard model, as far as it is used here. Dashboards are written as
 * lists of panels and laid out by themselves, so that changing one is a matter of its query and its words.
 */
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' } as const;
const COLUMNS = 24;

/** Units by Grafana's names. */
export type Unit = 'short' | 'reqps' | 'percentunit' | 's' | 'ms' | 'currencyUSD' | 'bytes' | 'none';

/** A query and how its series are called; `{{label}}` stands for a label's value. */
export type Query = readonly [expression: string, legend: string];

export interface Panel {
  readonly title: string;
  /** What it shows, and when to worry. */
  readonly description: string;
  readonly width: number;
  readonly height: number;
  readonly model: Readonly<Record<string, unknown>>;
  readonly queries: readonly Query[];
}

/** A heading over what follows. */
export interface Heading {
  readonly heading: string;
}

/** Values from which on a colour holds. */
export type Thresholds = readonly (readonly [from: number, color: 'green' | 'yellow' | 'red'])[];

interface Look {
  readonly unit: Unit;
  readonly width?: number;
  readonly thresholds?: Thresholds;
  readonly stacked?: boolean;
}

export function timeseries(title: string, description: string, queries: readonly Query[], { unit, width = 8, thresholds = [], stacked = false }: Look): Panel {
  return {
    title, description, width, height: 8, queries,
    model: {
      type: 'timeseries',
      targets: queries.map(([expr, legendFormat], index) => target(index, { expr, legendFormat, range: true })),
      fieldConfig: {
        defaults: {
          unit, min: 0,
          custom: { lineWidth: 1, fillOpacity: stacked ? 30 : 8, showPoints: 'never', spanNulls: false, stacking: { mode: stacked ? 'normal' : 'none', group: 'A' }, thresholdsStyle: { mode: thresholds.length === 0 ? 'off' : 'line' } },
          thresholds: steps(thresholds),
        },
        overrides: [],
      },
      options: { legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] }, tooltip: { mode: 'multi', sort: 'desc' } },
    },
  };
}

export function stat(title: string, description: string, query: Query, { unit, width = 4, thresholds = [], texts = {} }: Look & { readonly texts?: Readonly<Record<string, string>> }): Panel {
  return {
    title, description, width, height: 4, queries: [query],
    model: {
      type: 'stat',
      targets: [target(0, { expr: query[0], legendFormat: query[1], instant: true })],
      fieldConfig: { defaults: { unit, thresholds: steps(thresholds), mappings: mappings(texts) }, overrides: [] },
      options: { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false }, colorMode: thresholds.length === 0 ? 'none' : 'background', graphMode: 'none', textMode: 'auto', orientation: 'auto', justifyMode: 'auto' },
    },
  };
}

export interface Column {
  readonly title: string;
  readonly expression: string;
  readonly unit: Unit;
  readonly thresholds?: Thresholds;
  readonly texts?: Readonly<Record<string, string>>;
}

/** One row a value of `by`, one column a query; the first column sorts it, downwards. */
export function table(title: string, description: string, by: string, columns: readonly Column[]): Panel {
  const queries = columns.map(({ expression }): Query => [expression, '']);
  const named = Object.fromEntries(columns.map((column, index) => [`Value #${refId(index)}`, column.title]));
  return {
    title, description, width: COLUMNS, height: 11, queries,
    model: {
      type: 'table',
      targets: queries.map(([expr], index) => target(index, { expr, instant: true, format: 'table' })),
      transformations: [{ id: 'merge', options: {} }, { id: 'organize', options: { excludeByName: { Time: true }, renameByName: named, indexByName: { [by]: 0 } } }],
      fieldConfig: {
        defaults: { custom: { align: 'auto', filterable: true, cellOptions: { type: 'auto' } } },
        overrides: columns.map(({ title: name, unit, thresholds, texts }) => ({
          matcher: { id: 'byName', options: name },
          properties: [
            { id: 'unit', value: unit },
            ...(thresholds === undefined ? [] : [{ id: 'thresholds', value: steps(thresholds) }, { id: 'custom.cellOptions', value: { type: 'color-background', mode: 'basic' } }]),
            ...(texts === undefined ? [] : [{ id: 'mappings', value: mappings(texts) }]),
          ],
        })),
      },
      options: { showHeader: true, sortBy: [{ displayName: columns[0]!.title, desc: true }], footer: { show: false } },
    },
  };
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** Choices at the top: a label's values by a query that has it. */
  readonly variables?: readonly { readonly name: string; readonly label: string; readonly metric: string; readonly of: string }[];
  readonly rows: readonly (Panel | Heading)[];
}

/** As Grafana reads it from a file. */
export function dashboardJson({ uid, title, description, variables = [], rows }: Dashboard): Record<string, unknown> {
  return {
    uid, title, description,
    tags: ['agentos'], editable: true, graphTooltip: 1, schemaVersion: 39, version: 1, id: null, timezone: 'browser', refresh: '15s',
    time: { from: 'now-1h', to: 'now' },
    annotations: { list: [{ name: 'Alerts', datasource: DATASOURCE, enable: true, hide: false, iconColor: 'red', expr: 'ALERTS{alertname=~"AgentOS.*", alertstate="firing", severity!="none"}', titleFormat: '{{alertname}}', textFormat: '{{service}} {{tenant_id}}', tagKeys: 'severity', step: '15s' }] },
    templating: {
      list: [
        { type: 'datasource', name: 'datasource', label: 'Prometheus', query: 'prometheus', current: { selected: false, text: 'Prometheus', value: 'agentos-prometheus' }, hide: 0, refresh: 1, regex: '', multi: false, includeAll: false, options: [] },
        ...variables.map(({ name, label, metric, of }) => ({
          type: 'query', name, label, datasource: DATASOURCE, definition: `label_values(${metric}, ${of})`, query: { query: `label_values(${metric}, ${of})`, refId: `variable-${name}` },
          refresh: 2, sort: 1, multi: true, includeAll: true, allValue: '.*', current: { selected: true, text: ['All'], value: ['$__all'] }, hide: 0, regex: '', options: [],
        })),
      ],
    },
    links: [{ title: 'AgentOS', type: 'dashboards', tags: ['agentos'], asDropdown: true, includeVars: false, keepTime: true, icon: 'external link', targetBlank: false, tooltip: '', url: '' }],
    panels: laidOut(rows),
  };
}

/** From left to right, a new line where the next one does not fit. */
function laidOut(rows: readonly (Panel | Heading)[]): Record<string, unknown>[] {
  let [x, y, tallest] = [0, 0, 0];
  const newLine = (): void => {
    y += tallest;
    [x, tallest] = [0, 0];
  };
  return rows.map((row, index) => {
    const width = 'heading' in row ? COLUMNS : row.width;
    const height = 'heading' in row ? 1 : row.height;
    if (x + width > COLUMNS || 'heading' in row) newLine();
    const gridPos = { x, y, w: width, h: height };
    x += width;
    tallest = Math.max(tallest, height);
    if ('heading' in row) return { id: index + 1, type: 'row', title: row.heading, collapsed: false, gridPos, panels: [] };
    return { id: index + 1, title: row.title, description: row.description, datasource: DATASOURCE, gridPos, ...row.model };
  });
}

const refId = (index: number): string => String.fromCharCode(65 + index);

function target(index: number, query: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { refId: refId(index), datasource: DATASOURCE, editorMode: 'code', ...query };
}

function steps(thresholds: Thresholds): Record<string, unknown> {
  const first = thresholds[0]?.[1] === 'green' || thresholds.length === 0 ? [] : [{ color: 'green', value: null }];
  return { mode: 'absolute', steps: thresholds.length === 0 ? [{ color: 'green', value: null }] : [...first, ...thresholds.map(([from, color], index) => ({ color, value: index === 0 && first.length === 0 ? null : from }))] };
}

function mappings(texts: Readonly<Record<string, string>>): Record<string, unknown>[] {
  if (Object.keys(texts).length === 0) return [];
  return [{ type: 'value', options: Object.fromEntries(Object.entries(texts).map(([value, text], index) => [value, { text, index }])) }];
}
