/** What is measured beside each other: each answers OpenAI's chat completions on a port, from a process of its own. */
import type { ChildProcess } from 'node:child_process';
import { stopProcess } from '../node-under-test.ts';
import { startModelPolicy } from './model-policy.ts';
import { nextMessage, startProgram } from './pinned-process.ts';
import { startPortkey } from './portkey.ts';

export const CONTENDERS = ['direct', 'bare', 'off', 'on', 'portkey'] as const;
export type ContenderName = (typeof CONTENDERS)[number];

export interface Contender {
  readonly name: ContenderName;
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Whose CPU is counted: the gateway's process, and the database behind it. */
  readonly pids: { readonly gateway?: number; readonly postgres?: number };
  stop(): Promise<void>;
}

export interface Surroundings {
  readonly upstreamPort: number;
  /** null where nobody of the contenders needs it. */
  readonly postgres: { readonly url: string; readonly pid: number } | null;
  readonly portkeyFolder: string;
}

const PATH = '/v1/chat/completions';

export async function startContender(name: ContenderName, around: Surroundings): Promise<Contender> {
  if (name === 'direct') return { name, port: around.upstreamPort, path: PATH, headers: {}, pids: {}, stop: () => Promise.resolve() };
  if (name === 'portkey') return startPortkey(around.portkeyFolder, around.upstreamPort);
  if (name === 'bare') {
    const { child, port } = await startListening('bare-proxy-main', 'gateway', { ...process.env, BENCH_UPSTREAM: `http://127.0.0.1:${around.upstreamPort}` });
    return { name, port, path: PATH, headers: {}, pids: { gateway: child.pid! }, stop: () => stopProcess(child) };
  }
  return startModelPolicy(name, around);
}

/** A program of this folder that tells the port it listens on. */
export async function startListening(name: string, place: 'gateway' | 'around', environment?: NodeJS.ProcessEnv): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const child = startProgram(name, place, environment);
  const { port } = await nextMessage<{ readonly port: number }>(child);
  return { child, port };
}
