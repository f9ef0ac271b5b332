import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileVersion, followFile, type FollowedFile } from './followed-file.ts';

let folder: string;
let file: string;
let told: string[];
let followed: FollowedFile;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'agentos-followed-'));
  file = path.join(folder, 'settings');
  writeFileSync(file, 'one');
  told = [];
  followed = followFile(file, 'one', (text) => void told.push(text));
});
afterEach(() => {
  followed.close();
  rmSync(folder, { recursive: true, force: true });
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('a followed file', () => {
  it('is told of once a change, also when another is put in its place', async () => {
    writeFileSync(file, 'two');
    await expect.poll(() => told, { timeout: 10_000 }).toEqual(['two']);
    writeFileSync(path.join(folder, 'next'), 'three');
    renameSync(path.join(folder, 'next'), file);
    await expect.poll(() => told, { timeout: 10_000 }).toEqual(['two', 'three']);
    writeFileSync(file, 'three');
    await pause(400);
    expect(told).toEqual(['two', 'three']);
  });

  it('is looked at on SIGHUP', async () => {
    followed.close();
    const before = process.listenerCount('SIGHUP');
    followed = followFile(file, 'what it was before', (text) => void told.push(text));
    expect(process.listenerCount('SIGHUP')).toBe(before + 1);
    process.emit('SIGHUP', 'SIGHUP');
    await expect.poll(() => told, { timeout: 2_000 }).toEqual(['one']);
    followed.close();
    expect(process.listenerCount('SIGHUP')).toBe(before);
  });

  it('tells of looks that found nothing new, or nothing, and leaves SIGHUP to who wants it; one listener serves all', async () => {
    followed.close();
    const before = process.listenerCount('SIGHUP');
    const heard: string[] = [];
    followed = followFile(file, 'one', { changed: (text) => void heard.push(text), same: (text) => void heard.push(`same ${text}`), missing: ({ code }) => void heard.push(code!), signaled: () => void heard.push('signal') });
    const others = Array.from({ length: 20 }, () => followFile(file, 'one', () => undefined));
    expect(process.listenerCount('SIGHUP')).toBe(before + 1);
    const { look } = followed as ReturnType<typeof followFile>;
    await look();
    rmSync(file);
    await look();
    process.emit('SIGHUP', 'SIGHUP');
    expect(heard).toEqual(['same one', 'ENOENT', 'signal']);
    for (const each of [...others, followed]) each.close();
    expect(process.listenerCount('SIGHUP')).toBe(before);
  });

  it('has a version that changes with its text and with what stands in its place', async () => {
    const one = await fileVersion(file);
    expect(await fileVersion(file)).toEqual(one);
    writeFileSync(path.join(folder, 'next'), 'two');
    renameSync(path.join(folder, 'next'), file);
    expect((await fileVersion(file)).version).not.toBe(one.version);
    expect(one.bytes).toBe(3);
    await expect(fileVersion(path.join(folder, 'absent'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('that is gone says nothing until it is back', async () => {
    rmSync(file);
    await pause(400);
    expect(told).toEqual([]);
    writeFileSync(file, 'back');
    await expect.poll(() => told, { timeout: 10_000 }).toEqual(['back']);
  });
});
