import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifies } from '../../conformance/http/verifies.ts';
import { validators } from '../../generated/validators/schemas.js';
import { planNuke } from './nuke.ts';
import { createOutput } from './output.ts';
import { runPhases } from './phases.ts';
import { isProcess, runCommand } from './process.ts';
import { repositoryRoot } from './repository.ts';
import { writeState } from './services/state.ts';
import { loadSettings, type Settings } from './settings.ts';
import { ensureStateFolder, HOME_MARKER, withNodeLock } from './state-folder.ts';

let root: string;
let home: string;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'agentos-nuke-'));
  home = path.join(root, '.agentos');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const settings = (folder = home): Settings => loadSettings({}, { AGENTOS_HOME: folder, AGENTOS_REPORTS_DIR: path.join(root, 'reports') });
const silent = createOutput({ json: true, color: false }, process.stdout, Object.assign(process.stderr, {}));

function fakeCluster(folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'PG_VERSION'), '18\n');
  writeFileSync(path.join(folder, 'AGENTOS_DATA.json'), '{}');
}

async function nuke(hard: boolean): Promise<readonly string[]> {
  const removed: string[] = [];
  const result = await runPhases(planNuke(settings(), hard).phases(removed), { ...silent, progress: () => undefined });
  expect(result.error).toBeNull();
  return removed;
}

async function agentos(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return runCommand(process.execPath, ['--import', 'tsx', path.join(repositoryRoot, 'scripts/agentos.ts'), ...args], {
    cwd: repositoryRoot, env: { PATH: process.env['PATH'], AGENTOS_HOME: home, AGENTOS_REPORTS_DIR: path.join(root, 'reports') }, timeoutMs: 30_000,
  });
}

describe('agentos nuke', () => {
  it('without --yes-really touches nothing, exits 2, says what to type, and leaves a report', verifies(['PRS-8.1-06', 'PRS-8.4-01'], async () => {
    ensureStateFolder(home);
    fakeCluster(path.join(home, 'postgres'));
    const before = readdirSync(home, { recursive: true }).sort();
    for (const args of [['nuke'], ['nuke', '--hard']]) {
      const result = await agentos(...args, '--json');
      expect(result.code).toBe(2);
      const error: unknown = JSON.parse(result.stderr);
      expect(validators.CliError(error)).toBe(true);
      expect(error).toMatchObject({ error: { next: `agentos ${args.join(' ')} --yes-really` } });
    }
    expect(readdirSync(home, { recursive: true }).sort()).toEqual(before);
    expect(readdirSync(path.join(root, 'reports')).filter((file) => file.endsWith('.json'))).toHaveLength(2);
  }));

  it('--hard removes database, logs, state, secrets, checkpoints and journal, and nothing else', verifies('PRS-8.1-07', async () => {
    ensureStateFolder(home);
    fakeCluster(path.join(home, 'postgres'));
    writeFileSync(path.join(home, '.agentos.env'), 'AGENTOS_MODE=demo\n');
    // What the next node could not read: checkpoints of a key that is gone, bookings of a database that is gone.
    for (const name of ['audit', 'journal']) mkdirSync(path.join(home, name));
    const removed = await nuke(true);
    expect(readdirSync(home)).toEqual(['.agentos.env']);
    expect(removed).toContain(`removed ${path.join(home, 'postgres')}`);
  }));

  it('without --hard keeps the data', async () => {
    ensureStateFolder(home);
    fakeCluster(path.join(home, 'postgres'));
    await nuke(false);
    expect(existsSync(path.join(home, 'postgres', 'PG_VERSION'))).toBe(true);
    expect(existsSync(path.join(home, HOME_MARKER))).toBe(true);
  });

  it('refuses a state folder without its marker', () => {
    mkdirSync(path.join(home, 'logs'), { recursive: true });
    expect(() => planNuke(settings(), true)).toThrow(expect.objectContaining({ exitCode: 3, evidence: [expect.stringContaining(HOME_MARKER)] }));
    expect(existsSync(path.join(home, 'logs'))).toBe(true);
  });

  it('refuses a data folder without its marker before anything is stopped', () => {
    ensureStateFolder(home);
    mkdirSync(path.join(home, 'postgres'));
    writeFileSync(path.join(home, 'postgres', 'thesis.txt'), 'do not lose');
    expect(() => planNuke(settings(), true)).toThrow(expect.objectContaining({ exitCode: 3, evidence: [expect.stringContaining('AGENTOS_DATA.json')] }));
  });

  it('refuses symbolic links for the state folder, the data folder and the markers', () => {
    const elsewhere = path.join(root, 'precious');
    ensureStateFolder(elsewhere);
    fakeCluster(path.join(elsewhere, 'postgres'));
    symlinkSync(elsewhere, home);
    expect(() => planNuke(settings(), true)).toThrow(expect.objectContaining({ exitCode: 3, evidence: ['it is a symbolic link'] }));
    rmSync(home);
    ensureStateFolder(home);
    symlinkSync(path.join(elsewhere, 'postgres'), path.join(home, 'postgres'));
    expect(() => planNuke(settings(), true)).toThrow(expect.objectContaining({ exitCode: 3, evidence: ['it is a symbolic link'] }));
    rmSync(path.join(home, HOME_MARKER));
    symlinkSync(path.join(elsewhere, HOME_MARKER), path.join(home, HOME_MARKER));
    expect(() => planNuke(settings(), true)).toThrow(expect.objectContaining({ exitCode: 3 }));
    expect(existsSync(path.join(elsewhere, 'postgres', 'PG_VERSION'))).toBe(true);
  });

  it('does not follow a pointer to a folder that is not a database of agentos', () => {
    ensureStateFolder(home);
    const precious = path.join(root, 'precious');
    mkdirSync(precious);
    writeFileSync(path.join(home, 'postgres.location'), `${precious}\n`);
    expect(() => planNuke(settings(), true)).toThrow(expect.objectContaining({ exitCode: 3 }));
  });

  it('does not signal a process that took over the pid of a service', async () => {
    ensureStateFolder(home);
    const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    try {
      await once(bystander, 'spawn');
      writeState(home, { service: 'federation', pid: bystander.pid!, startedAt: new Date().toISOString(), command: [], marks: ['services/federation/main', '--port 50083'], host: '127.0.0.1', port: 50083, buildId: '', settingsId: '', logFile: '' });
      expect(await nuke(false)).toEqual([]);
      expect(isProcess(bystander.pid!, ['setInterval'])).toBe(true);
    } finally {
      bystander.kill('SIGKILL');
    }
  });

  it('is content when there is nothing', async () => {
    expect(planNuke(settings(), true).nothingThere).toBe(true);
    expect(await nuke(true)).toEqual([]);
    expect(existsSync(home)).toBe(false);
  });
});

describe('the lock of a node', () => {
  it('keeps a second command out, and is taken over from one that is gone', async () => {
    ensureStateFolder(home);
    const holder = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', 'agentos'], { stdio: 'ignore' });
    try {
      await once(holder, 'spawn');
      writeFileSync(path.join(home, 'state', 'lock'), `${holder.pid} up\n`);
      await expect(withNodeLock(home, 'nuke', async () => 'done')).rejects.toMatchObject({ exitCode: 1, evidence: [`pid ${holder.pid}: agentos up`, expect.stringContaining('lock')] });
    } finally {
      holder.kill('SIGKILL');
      await once(holder, 'exit');
    }
    expect(await withNodeLock(home, 'nuke', async () => 'done')).toBe('done');
    expect(existsSync(path.join(home, 'state', 'lock'))).toBe(false);
  });
});
