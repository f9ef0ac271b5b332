/** The journal by itself: its bytes, its files, its owner. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeFrame, readFrames } from './usage-journal-frames.ts';
import { mayHaveLostItsEnd, stateOf, thisProcess } from './usage-journal-owner.ts';
import { readJournal } from './usage-journal-takeover.ts';
import { CallJournal, type JournalDisk } from './usage-journal.ts';

const SEED = Number(process.env['AGENTOS_PROPERTY_SEED'] ?? 20_260_101);
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-journal-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const record = (name: string): string => JSON.stringify({ kind: 'free', tenantId: 'tnt_ü', requestId: name });
const namesIn = (journal: CallJournal): string[] => readJournal(journal.folder).frames.flat().map((booking) => (booking as { requestId: string }).requestId);

describe('frames', () => {
  const before = Buffer.concat([encodeFrame([record('a'), record('b')]), encodeFrame([record('c')])]);
  const last = encodeFrame([record('d'), record('é\u2028\n')]);

  it('are read as they were written, whatever is in them', () => {
    fc.assert(fc.property(fc.array(fc.array(fc.string({ unit: 'binary', maxLength: 40 }), { minLength: 1, maxLength: 4 }), { maxLength: 6 }), (frames) => {
      const texts = frames.map((values) => values.map((value) => JSON.stringify({ value })));
      expect(readFrames(Buffer.concat(texts.map((records) => encodeFrame(records))))).toEqual({ frames: texts, tornBytes: 0, damaged: false });
    }), { seed: SEED });
  });

  it('are whole or not there: the last one, cut off at every byte', () => {
    for (let bytes = 0; bytes < last.length; bytes += 1) {
      expect(readFrames(Buffer.concat([before, last.subarray(0, bytes)])), `${bytes} bytes`).toEqual({ frames: [[record('a'), record('b')], [record('c')]], tornBytes: bytes, damaged: false });
    }
    expect(readFrames(Buffer.concat([before, last])).frames.flat()).toHaveLength(5);
  });

  it('are whole or not there: the last one, with any byte changed, each bit of it', () => {
    for (let at = 0; at < last.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const bytes = Buffer.concat([before, last]);
        bytes[before.length + at]! ^= 1 << bit;
        const { frames, tornBytes } = readFrames(bytes);
        expect([frames, tornBytes], `byte ${at}, bit ${bit}`).toEqual([[[record('a'), record('b')], [record('c')]], last.length]);
      }
    }
  });

  it('say whether what follows was cut off or changed', () => {
    const zeroed = Buffer.concat([before, Buffer.alloc(last.length)]);
    expect(readFrames(zeroed)).toMatchObject({ frames: { length: 2 }, damaged: true });
    const changed = Buffer.concat([before, last, encodeFrame([record('e')])]);
    changed[before.length + 40]! ^= 1;
    expect(readFrames(changed)).toMatchObject({ frames: { length: 2 }, damaged: true });
  });
});

describe('a journal', () => {
  it('begins another file when one is full, and keeps no file whose frames are all stored', () => {
    const journal = new CallJournal({ folder, fileBytes: 200 });
    const files = Array.from({ length: 9 }, (_, index) => journal.append(encodeFrame([record(`r${index}`)])));
    expect(namesIn(journal)).toEqual(files.map((_, index) => `r${index}`));
    const count = (): number => readdirSync(journal.folder).length - 1;
    expect(count()).toBeGreaterThan(2);
    for (const file of files.slice(0, 8)) journal.stored(file);
    expect(namesIn(journal).at(-1)).toBe('r8');
    journal.stored(files[8]!);
    expect([namesIn(journal), count()]).toEqual([[], 1]);
    journal.append(encodeFrame([record('later')]));
    expect(namesIn(journal)).toEqual(['later']);
    journal.close(false);
    expect(namesIn(journal)).toEqual(['later']);
  });

  it('leaves nothing behind when everything is stored', () => {
    const ledger = join(folder, 'ledger');
    const [one, other] = [new CallJournal({ folder: ledger }), new CallJournal({ folder: ledger })];
    one.stored(one.append(encodeFrame([record('a')])));
    one.close(true);
    expect(readdirSync(ledger)).toEqual([other.id]);
    other.close(true);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('takes half a frame back, so that what follows can be read', () => {
    let room = Number.POSITIVE_INFINITY;
    const { disk, bytesOf } = diskWithRoom(() => room, (left) => (room = left));
    const journal = new CallJournal({ folder, disk });
    journal.append(encodeFrame([record('first')]));
    room = 10;
    expect(() => journal.append(encodeFrame([record('second')]))).toThrow('ENOSPC');
    room = Number.POSITIVE_INFINITY;
    journal.append(encodeFrame([record('third')]));
    const read = readFrames(bytesOf(0));
    expect(read).toEqual({ frames: [[record('first')], [record('third')]], tornBytes: 0, damaged: false });
  });

  it('goes on in another file where half a frame cannot be taken back', () => {
    let room = Number.POSITIVE_INFINITY;
    const { disk, bytesOf } = diskWithRoom(() => room, (left) => (room = left), false);
    const journal = new CallJournal({ folder, disk });
    journal.append(encodeFrame([record('first')]));
    room = 10;
    expect(() => journal.append(encodeFrame([record('second')]))).toThrow('ENOSPC');
    room = Number.POSITIVE_INFINITY;
    journal.append(encodeFrame([record('third')]));
    expect(readFrames(bytesOf(0))).toMatchObject({ frames: [[record('first')]], tornBytes: 10, damaged: false });
    expect(readFrames(bytesOf(1)).frames).toEqual([[record('third')]]);
  });
});

describe('the owner of a journal', () => {
  it('is alive while it runs, and dead when it does not, whoever has its number then', () => {
    const self = thisProcess();
    expect(stateOf(self, self)).toBe('alive');
    const ended = spawnSync(process.execPath, ['-e', '']);
    const states = [stateOf({ ...self, pid: ended.pid }, self), stateOf({ ...self, pidStart: '1' }, self)];
    expect(states).toEqual(self.pidStart === null ? ['dead', 'alive'] : ['dead', 'dead']);
  });

  it('is not known in another container, on another machine, or from before this one was started', () => {
    const self = { pid: 1, pidStart: '10', pidNamespace: 'pid:[1]', bootId: 'boot-1' };
    expect([stateOf({ ...self, pidNamespace: 'pid:[2]' }, self), stateOf({ ...self, bootId: 'boot-0' }, self)]).toEqual(['unknown', 'unknown']);
    expect([mayHaveLostItsEnd({ ...self, pidNamespace: 'pid:[2]' }, self), mayHaveLostItsEnd({ ...self, bootId: 'boot-0' }, self)]).toEqual([false, true]);
  });

  it('stands in the journal before its first frame', () => {
    const journal = new CallJournal({ folder });
    expect(JSON.parse(readFileSync(join(journal.folder, 'owner.json'), 'utf8'))).toEqual(thisProcess());
    writeFileSync(join(folder, 'stray'), '');
    journal.close(true);
  });
});

/** A disk in memory on which as many bytes can be written as there is room. */
function diskWithRoom(room: () => number, setRoom: (bytes: number) => void, canTruncate = true): { readonly disk: JournalDisk; bytesOf(file: number): Buffer } {
  const files: Buffer[] = [];
  const disk: JournalDisk = {
    open: () => files.push(Buffer.alloc(0)) - 1,
    write(file, bytes, from, position) {
      const count = Math.min(bytes.length - from, room());
      if (count === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      const grown = Buffer.alloc(Math.max(files[file]!.length, position + count));
      files[file]!.copy(grown);
      bytes.copy(grown, position, from, from + count);
      files[file] = grown;
      if (Number.isFinite(room())) setRoom(room() - count);
      return count;
    },
    truncate(file, bytes) {
      if (!canTruncate) throw new Error('EIO: i/o error, ftruncate');
      files[file] = files[file]!.subarray(0, bytes);
    },
    close: () => undefined,
    remove: () => undefined,
  };
  return { disk, bytesOf: (file) => files[file]! };
}
