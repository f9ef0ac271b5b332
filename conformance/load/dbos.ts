/**
 * DBOS as a yardstick: durable workflows of two steps on the same Postgres, in a process of their own.
 *
 * It is installed into a folder of the bench, never among this repository's packages, at a pinned version, with the
 * npm that runs the bench. Workflows are started in-process: what HTTP would cost is not charged to it.
 */
import { execFileSync, fork, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const DBOS_VERSION = '5.3.0';

const PROGRAM = `
import { DBOS } from '@dbos-inc/dbos-sdk';
const workflow = DBOS.registerWorkflow(async (input) => {
  const asked = await DBOS.runStep(async () => ({ messages: [{ role: 'user', content: input }] }), { name: 'ask' });
  return DBOS.runStep(async () => ({ text: 'You said: ' + asked.messages[0].content }), { name: 'answer' });
}, { name: 'two_steps' });
DBOS.setConfig({ name: 'bench', systemDatabaseUrl: process.env.BENCH_DATABASE_URL, logLevel: 'error' });
await DBOS.launch();
process.on('message', async ({ clients, durationMs }) => {
  const started = performance.now();
  let runs = 0;
  const client = async () => {
    for (; performance.now() - started < durationMs; runs += 1) await (await DBOS.startWorkflow(workflow)('hello')).getResult();
  };
  await Promise.all(Array.from({ length: clients }, client));
  process.send(runs / ((performance.now() - started) / 1000));
});
process.on('disconnect', () => process.exit(0));
process.send('ready');
`;

export class DbosYardstick {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Installs where needed and launches. @throws Error when the registry cannot be reached. */
  static async start(folder: string, databaseUrl: string): Promise<DbosYardstick> {
    install(folder);
    const program = path.join(folder, 'two-steps.mjs');
    writeFileSync(program, PROGRAM);
    const child = fork(program, { cwd: folder, env: { ...process.env, BENCH_DATABASE_URL: databaseUrl, NODE_NO_WARNINGS: '1' }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
    const yardstick = new DbosYardstick(child);
    await yardstick.#next();
    return yardstick;
  }

  /** Workflows completed a second, `clients` at once. */
  async measure(clients: number, durationMs: number): Promise<number> {
    const answer = this.#next();
    this.#child.send({ clients, durationMs });
    return (await answer) as number;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  }

  #next(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void => reject(new Error(`The DBOS program ended with code ${code}.`));
      this.#child.once('exit', onExit);
      this.#child.once('message', (message) => {
        this.#child.off('exit', onExit);
        resolve(message);
      });
    });
  }
}

function install(folder: string): void {
  const manifest = path.join(folder, 'node_modules/@dbos-inc/dbos-sdk/package.json');
  if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version === DBOS_VERSION) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies: { '@dbos-inc/dbos-sdk': DBOS_VERSION } }));
  process.stderr.write(`installing @dbos-inc/dbos-sdk ${DBOS_VERSION} into ${folder} …\n`);
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], timeout: 180_000 });
}
