/** `specs/schemas/event-types.json` → the list of event types and a typed payload for each (Appendix D.5). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type GeneratedFiles, specsFolder, typescriptHeader } from './paths.ts';
import { schemaName, type SchemaLibrary } from './schema-library.ts';

export interface EventTypeRow {
  readonly type: string;
  /** Path of the payload's schema under specs/schemas/. */
  readonly payload: string;
  readonly short_name: string;
  readonly required: boolean;
  readonly appendix: string | null;
  readonly terminal: boolean;
  readonly description: string;
}

export function readEventTypes(folder = specsFolder): EventTypeRow[] {
  const { types } = JSON.parse(readFileSync(join(folder, 'schemas', 'event-types.json'), 'utf8')) as { types: EventTypeRow[] };
  return types;
}

export function generateEventTypes(library: SchemaLibrary): GeneratedFiles {
  const types = readEventTypes();
  for (const { type, payload } of types) {
    if (library[schemaName(payload)] === undefined) {
      throw new Error(`specs/schemas/event-types.json: ${type} has the payload ${payload}, and no such schema exists under specs/schemas/.`);
    }
  }
  const rows = types.map((row) => {
    const members = `shortName: '${row.short_name}', terminal: ${row.terminal}, description: ${JSON.stringify(row.description)}`;
    return `  '${row.type}': { ${members} },`;
  });
  const payloads = types.map((row) => `  /** ${row.description} */\n  '${row.type}': ${schemaName(row.payload)};`);
  const names = [...new Set(types.map((row) => schemaName(row.payload)))].sort();
  const text = `${typescriptHeader()}
import type { Event, ${names.join(', ')} } from './index.ts';

/** Every event type that a run emits. Readers must survive types that are not listed here: the set grows. */
export const EVENT_TYPES = {
${rows.join('\n')}
} as const satisfies Record<string, EventTypeRow>;

export interface EventTypeRow {
  /** How the PRS writes it; accepted in filters, never emitted. */
  readonly shortName: string;
  /** Whether it is the last event of a run. */
  readonly terminal: boolean;
  readonly description: string;
}

export type EventType = keyof typeof EVENT_TYPES;

/** The types that end a run. */
export type TerminalEventType = { [Type in EventType]: (typeof EVENT_TYPES)[Type]['terminal'] extends true ? Type : never }[EventType];

/** The payload of each event type. */
export interface EventPayloads {
${payloads.join('\n')}
}

/** An event whose type is known, and with it the shape of its payload. */
export type TypedEvent<Type extends EventType = EventType> = {
  [Each in Type]: Omit<Event, 'type' | 'payload'> & { type: Each; payload: EventPayloads[Each] };
}[Type];
`;
  return new Map([['generated/types/event-types.ts', text]]);
}
