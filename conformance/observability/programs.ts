/** Prometheus' programs for tests: found or fetched once, started on free ports, stopped by the test that started them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureProgram, type ProgramName } from '../../scripts/lib/alerting/debian-programs.ts';

/** Why tests that need these are left out; null: they are there. */
export async function whyMissing(...names: readonly ProgramName[]): Promise<string | null> {
  for (const name of names) {
    const why = await ensureProgram(name).then(() => null, (error: Error) => `${name} is neither installed nor can it be fetched: ${error.message}`);
    if (why !== null) return why;
  }
  return null;
}

export interface StartedProgram {
  readonly output: () => string;
  stop(): Promise<void>;
}

/** Resolves once `url` answers 200. */
export async function startProgram(name: ProgramName, args: readonly string[], url: string): Promise<StartedProgram> {
  const child: ChildProcess = spawn(await ensureProgram(name), args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream!.setEncoding('utf8').on('data', (text: string) => void lines.push(text));
  const output = (): string => lines.slice(-40).join('');
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(timer);
  };
  for (const deadline = performance.now() + 30_000; ;) {
    if (await fetch(url, { signal: AbortSignal.timeout(1_000) }).then(({ status }) => status === 200, () => false)) return { output, stop };
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop();
      throw new Error(`${name} did not become ready at ${url}:\n${output()}`);
    }
    await sleep(50);
  }
}

/** What Prometheus answers to an instant query, by its labels. */
export async function query(prometheusUrl: string, expression: string): Promise<readonly { readonly metric: Readonly<Record<string, string>>; readonly value: number }[]> {
  const answer = await fetch(`${prometheusUrl}/api/v1/query?${new URLSearchParams({ query: expression })}`);
  const { status, data, error } = (await answer.json()) as { status: string; error?: string; data?: { result: { metric: Record<string, string>; value: [number, string] }[] } };
  if (status !== 'success') throw new Error(`${expression}: ${error}`);
  return data!.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
}
