/** The typed client of each service (openapi-fetch) with a reader for every operation that streams. */
import type { Bundles } from './bundle.ts';
import { aliasOf, listOperations, type MediaType, type OperationView } from './openapi.ts';
import { type GeneratedFiles, pascalCase, type ServiceName, services, typescriptHeader } from './paths.ts';

const EVENT_STREAM = 'text/event-stream';

export function generateClients(bundles: Bundles): GeneratedFiles {
  const files: GeneratedFiles = new Map([['generated/client/sse.ts', SSE_READER]]);
  for (const service of services) files.set(`generated/client/${service}.ts`, clientModule(service, listOperations(bundles[service])));
  return files;
}

/** What the `data:` lines of a stream carry, by the name of its schema; null for an operation without a stream. */
export function streamItem(operation: OperationView): string | null {
  for (const [status, response] of operation.responses) {
    const media = response.content?.[EVENT_STREAM];
    if (!status.startsWith('2') || media === undefined) continue;
    const name = (media as MediaType & { 'x-agentos-event-schema'?: unknown })['x-agentos-event-schema'];
    return typeof name === 'string' ? name : 'unknown';
  }
  return null;
}

function clientModule(service: ServiceName, operations: readonly OperationView[]): string {
  const name = pascalCase(service);
  const streaming = operations.filter((operation) => streamItem(operation) !== null && aliasOf(operation) === null);
  const items = [...new Set(streaming.map((operation) => streamItem(operation)!))].filter((item) => item !== 'unknown').sort();
  const itemImport = items.length === 0 ? '' : `import type { ${items.join(', ')} } from '../types/index.ts';\n`;
  const sseImport = streaming.length === 0 ? '' : `import { readStream, type StreamOptions } from './sse.ts';\n`;
  const operationsImport = streaming.length === 0 ? 'paths' : 'operations, paths';
  return `${typescriptHeader()}
import createClient, { type Client, type ClientOptions } from 'openapi-fetch';
${itemImport}import type { ${operationsImport} } from '../types/${service}.ts';
${sseImport}
export type ${name}Client = Client<paths>;

/** Typed by the contract: \`client.GET('/v1/…', { params })\` answers \`{ data, error, response }\`. */
export function create${name}Client(options: ClientOptions): ${name}Client {
  return createClient<paths>(options);
}
${streaming.map((operation) => streamFunction(operation, name)).join('')}`;
}

function streamFunction(operation: OperationView, name: string): string {
  const id = operation.operationId;
  const method = operation.method.toUpperCase();
  const body = operation.requestBody === null ? '' : ', body: options.body';
  const bodyOption = operation.requestBody === null ? '' : ` & { body: NonNullable<operations['${id}']['requestBody']>['content']['application/json'] }`;
  return `
/** ${method} ${operation.path}: ${operation.node.summary ?? id}. Ends when the server ends the stream; it does not reconnect. */
export function ${id}(
  client: ${name}Client,
  params: operations['${id}']['parameters'],
  options: StreamOptions${bodyOption}${bodyOption === '' ? ' = {}' : ''},
): AsyncGenerator<${streamItem(operation)}, void, undefined> {
  return readStream<${streamItem(operation)}>((headers) =>
    client.${method}('${operation.path}', { params, headers, parseAs: 'stream', signal: options.signal ?? null${body} } as never),
    options,
  );
}
`;
}

const SSE_READER = `${typescriptHeader()}
import { createParser } from 'eventsource-parser';

export interface StreamOptions {
  readonly signal?: AbortSignal;
  /** Starts after this sequence (sent as \`Last-Event-ID\`). */
  readonly lastSequence?: number;
}

/** The server answered the request for a stream with an error; \`body\` is the error model where it sent one. */
export class StreamRefused extends Error {
  readonly status: number;
  readonly body: unknown;

  constructor(status: number, body: unknown) {
    super(\`The stream was refused with status \${status}: \${JSON.stringify(body)}\`);
    this.name = 'StreamRefused';
    this.status = status;
    this.body = body;
  }
}

interface StreamAnswer {
  readonly data?: unknown;
  readonly error?: unknown;
  readonly response: Response;
}

/** Opens a stream and yields each \`data:\` line as JSON. \`[DONE]\` ends it; comments are skipped. */
export async function* readStream<Item>(
  open: (headers: Record<string, string>) => Promise<unknown>,
  options: StreamOptions,
): AsyncGenerator<Item, void, undefined> {
  const headers: Record<string, string> = { Accept: 'text/event-stream' };
  if (options.lastSequence !== undefined) headers['Last-Event-ID'] = String(options.lastSequence);
  const { data, error, response } = (await open(headers)) as StreamAnswer;
  if (!response.ok) throw new StreamRefused(response.status, error);
  const arrived: string[] = [];
  const parser = createParser({ onEvent: (message) => arrived.push(message.data) });
  const decoder = new TextDecoder();
  for await (const chunk of data as AsyncIterable<Uint8Array>) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    for (const text of arrived.splice(0)) {
      if (text === '[DONE]') return;
      yield JSON.parse(text) as Item;
    }
  }
}
`;
