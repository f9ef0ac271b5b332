/**
 * Portkey's open-source gateway as a yardstick, installed into a folder of the bench, never among this repository's
 * packages. The overrides are needed: with newer versions of these two its streams fail.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePort, stopProcess, untilAnswers } from '../node-under-test.ts';
import type { Contender } from './contenders.ts';
import { startPinned } from './pinned-process.ts';

export const PORTKEY_VERSION = '1.15.2';
const PACKAGE = '@portkey-ai/gateway';
const OVERRIDES = { '@hono/node-server': '1.13.8', hono: '4.9.7' };

/** Installs where needed and starts. @throws Error when the registry cannot be reached. */
export async function startPortkey(folder: string, upstreamPort: number): Promise<Contender> {
  install(folder);
  const port = await freePort();
  const entry = path.join(folder, 'node_modules', PACKAGE, 'build/start-server.js');
  const child = startPinned([...profile(), entry, `--port=${port}`, '--headless'], { place: 'gateway', folder, environment: { ...process.env, NODE_ENV: 'production' } });
  await untilAnswers(`http://127.0.0.1:${port}/`, child);
  const target = { provider: 'openai', api_key: 'sk-bench', custom_host: `http://127.0.0.1:${upstreamPort}/v1` };
  const config = { strategy: { mode: 'fallback' }, retry: { attempts: 3, on_status_codes: [429, 500, 502, 503, 504] }, targets: [target, target] };
  return { name: 'portkey', port, pids: { gateway: child.pid! }, path: '/v1/chat/completions', headers: { 'x-portkey-config': JSON.stringify(config) }, stop: () => stopProcess(child) };
}

function profile(): string[] {
  return process.env['BENCH_PROFILE_DIR'] ? ['--cpu-prof', `--cpu-prof-dir=${process.env['BENCH_PROFILE_DIR']}`] : [];
}

function install(folder: string): void {
  const manifest = path.join(folder, 'node_modules', PACKAGE, 'package.json');
  if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version === PORTKEY_VERSION) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: { [PACKAGE]: PORTKEY_VERSION }, overrides: OVERRIDES }));
  process.stderr.write(`installing ${PACKAGE} ${PORTKEY_VERSION} into ${folder} …\n`);
  // It is started as it is published; nothing of it has to be built.
  execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], timeout: 180_000 });
}
