/** The README's curl lines, exactly as they are written there, and what each must answer. */
import type { ServiceName } from '../harness/prism.ts';

export interface ReadmeCurl {
  readonly name: string;
  readonly line: string;
  readonly service: ServiceName;
  readonly status: number;
}

export const readmeCurls: readonly ReadmeCurl[] = [
  {
    name: 'create a run',
    line: `curl -X POST http://127.0.0.1:50081/v1/agents/my-agent/runs \\
  -H "X-Tenant-Id: tnt_demo" \\
  -H "Content-Type: application/json" \\
  -d '{"input": "hello"}'`,
    service: 'agent-orchestrator',
    status: 201,
  },
  { name: 'check health', line: 'curl http://127.0.0.1:50081/v1/health', service: 'agent-orchestrator', status: 200 },
  { name: 'list models', line: 'curl -H "X-Tenant-Id: tnt_demo" http://127.0.0.1:50082/v1/models', service: 'model-policy', status: 200 },
  { name: 'health of Model Policy', line: 'curl http://127.0.0.1:50082/v1/health', service: 'model-policy', status: 200 },
  { name: 'health of Federation', line: 'curl http://127.0.0.1:50083/v1/federation/health', service: 'federation', status: 200 },
];

export interface ParsedCurl {
  readonly method: string;
  /** Path and query; the host is the test node's. */
  readonly path: string;
  readonly headers: ReadonlyArray<readonly [string, string]>;
  readonly body: string | undefined;
}

/** Reads the few options that these lines use. @throws Error for any other. */
export function parseCurl(line: string): ParsedCurl {
  const words = [...line.replaceAll('\\\n', ' ').matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3]!);
  if (words.shift() !== 'curl') throw new Error('A curl line starts with curl.');
  const headers: Array<readonly [string, string]> = [];
  let method: string | undefined;
  let body: string | undefined;
  let url: URL | undefined;
  while (words.length > 0) {
    const word = words.shift()!;
    if (word === '-X') method = words.shift();
    else if (word === '-H') {
      const [name, ...value] = words.shift()!.split(':');
      headers.push([name!.trim(), value.join(':').trim()]);
    } else if (word === '-d') body = words.shift();
    else if (word.startsWith('http://')) url = new URL(word);
    else throw new Error(`This reader of curl lines does not know ${word}.`);
  }
  if (url === undefined) throw new Error('The curl line names no URL.');
  return { method: method ?? (body === undefined ? 'GET' : 'POST'), path: url.pathname + url.search, headers, body };
}
