/**
 * Checking a chain: what was changed, taken out, moved or cut off, and where.
 *
 * A record whose hash does not fit its text was edited, or stands where another stood; one that fits its own hash while
 * the next record follows another was rewritten as a whole. Whoever rewrites everything behind it too, head included,
 * leaves a chain that is sound in itself: then a checkpoint says which hash stood there, or that more stood there.
 */
import type { ChainHead } from './audit.ts';
import { GENESIS_HASH, linkHash, type ChainedRecord, type ChainName } from './chain.ts';
import type { Checkpoint } from './checkpoint.ts';

export type FaultKind = 'edited' | 'missing' | 'reordered' | 'truncated' | 'checkpoint_mismatch' | 'unsigned';

export interface ChainFault extends ChainName {
  /** null: of the chain as a whole. */
  readonly sequence: number | null;
  readonly kind: FaultKind;
  readonly detail: string;
}

export interface ChainReport extends ChainName {
  /** Records found. */
  readonly records: number;
  /** Of the last of them; 0 and null: there is none. */
  readonly sequence: number;
  readonly hash: string | null;
  /** The newest signed sequence. */
  readonly checkpoint: number | null;
  readonly faults: readonly ChainFault[];
}

export interface ChainEvidence {
  readonly name: ChainName;
  readonly records: AsyncIterable<ChainedRecord> | Iterable<ChainedRecord>;
  /** As it was before the records were read; null: there is none. Absent: nobody kept it (an export). */
  readonly head?: ChainHead | null;
  /** Asked where the records go on behind `head`: on a node that works they do. */
  readonly headAgain?: () => Promise<ChainHead | null>;
  /** Those of this chain whose signature was found good. */
  readonly checkpoints?: readonly Checkpoint[];
  /** A part of a chain: it may begin anywhere and end anywhere. `filtered`: it may have gaps too. */
  readonly part?: 'whole' | 'range' | 'filtered';
}

/** Records that do not fit their hashes and are compared with each other, to tell which were exchanged. */
const COMPARED = 64;
/** Faults told of one chain. */
const TOLD = 100;

export async function verifyChain(evidence: ChainEvidence): Promise<ChainReport> {
  const walk = new Walk(evidence);
  for await (const record of evidence.records) walk.take(record);
  return walk.report();
}

class Walk {
  readonly #evidence: ChainEvidence;
  readonly #faults: ChainFault[] = [];
  /** Records whose hash does not fit. */
  readonly #unfit: ChainedRecord[] = [];
  readonly #unfitPlaces = new Set<number>();
  readonly #attested = new Map<number, Checkpoint[]>();
  #headHash: string | null = null;
  #lastGoodCheckpoint = 0;
  #badCheckpoint: Checkpoint | null = null;
  #last: ChainedRecord | null = null;
  #count = 0;

  constructor(evidence: ChainEvidence) {
    this.#evidence = evidence;
    for (const checkpoint of evidence.checkpoints ?? []) this.#attested.set(checkpoint.sequence, [...(this.#attested.get(checkpoint.sequence) ?? []), checkpoint]);
  }

  take(record: ChainedRecord): void {
    const { name, head, part = 'whole' } = this.#evidence;
    const last = this.#last;
    const expected = last === null ? 1 : last.sequence + 1;
    const fits = linkHash(name, record.previousHash, record.sequence, record.recordedAt, record.text) === record.hash;
    if (!fits) {
      if (this.#unfit.length < TOLD) this.#unfit.push(record);
      this.#unfitPlaces.add(record.sequence);
    }
    if (record.sequence < expected) this.#tell('reordered', record.sequence, `Record ${record.sequence} stands behind record ${last!.sequence}.`);
    else if (record.sequence > expected && !(part === 'filtered' || (part === 'range' && last === null))) this.#tellGap(expected, record.sequence - 1);
    if (record.sequence === expected && fits) this.#follow(record);
    this.#attest(record);
    if (record.sequence === head?.sequence) this.#headHash = record.hash;
    this.#last = record;
    this.#count += 1;
  }

  async report(): Promise<ChainReport> {
    this.#tellUnfit();
    if (this.#evidence.head !== undefined) await this.#judgeHead();
    this.#judgeCheckpoints();
    const checkpoints = this.#evidence.checkpoints ?? [];
    return {
      ...this.#evidence.name,
      records: this.#count,
      sequence: this.#last?.sequence ?? 0,
      hash: this.#last?.hash ?? null,
      checkpoint: checkpoints.length === 0 ? null : Math.max(...checkpoints.map(({ sequence }) => sequence)),
      faults: this.#faults.sort((a, b) => (a.sequence ?? Infinity) - (b.sequence ?? Infinity)),
    };
  }

  /** Does it follow the record that stands before it? */
  #follow(record: ChainedRecord): void {
    const last = this.#last;
    if (last === null) {
      if (record.previousHash !== GENESIS_HASH) this.#tell('edited', 1, 'The first record follows another: something stood before it, or it was rewritten.');
    } else if (record.previousHash !== last.hash && !this.#unfitPlaces.has(last.sequence)) {
      this.#tell('edited', last.sequence, `Record ${last.sequence} was rewritten together with its hash: record ${record.sequence} follows another.`);
    }
  }

  #attest(record: ChainedRecord): void {
    for (const checkpoint of this.#attested.get(record.sequence) ?? []) {
      if (checkpoint.hash === record.hash) this.#lastGoodCheckpoint = Math.max(this.#lastGoodCheckpoint, record.sequence);
      else this.#badCheckpoint ??= checkpoint;
    }
  }

  /** Two records that each fit in the other's place were exchanged; the others were edited. */
  #tellUnfit(): void {
    const compared = this.#unfit.slice(0, COMPARED);
    for (const record of this.#unfit) {
      const origin = compared.find((other) => other !== record && this.#belongsAt(record, other));
      if (origin !== undefined) this.#tell('reordered', record.sequence, `The record at ${record.sequence} is the one that was written at ${origin.sequence}.`);
      else this.#tell('edited', record.sequence, `Record ${record.sequence} does not fit its hash: its text, its time or the hash itself was changed.`);
    }
  }

  /** Whether the text of `record` was hashed at the place of `other`, whatever else of the two was exchanged with it. */
  #belongsAt(record: ChainedRecord, other: ChainedRecord): boolean {
    const hashes = [record.hash, other.hash];
    return [record, other].some(({ previousHash }) =>
      [record, other].some(({ recordedAt }) => hashes.includes(linkHash(this.#evidence.name, previousHash, other.sequence, recordedAt, record.text))));
  }

  async #judgeHead(): Promise<void> {
    const last = this.#last?.sequence ?? 0;
    const head = this.#evidence.head ?? null;
    const now = head !== null && last > head.sequence ? ((await this.#evidence.headAgain?.()) ?? head) : head;
    if (now === null) {
      if (last > 0) this.#tell('missing', null, `The head of the chain is gone; its records go to ${last}.`);
    } else if (now.sequence > last && last <= head!.sequence) {
      this.#tell('truncated', last + 1, `Records ${last + 1} to ${now.sequence} were cut off: the head of the chain says that they were written.`);
    } else if (now.sequence < last) {
      this.#tell('edited', null, `The head of the chain says ${now.sequence}, its records go to ${last}.`);
    } else if (this.#headHash !== null && this.#headHash !== head!.hash && !this.#unfitPlaces.has(head!.sequence)) {
      this.#tell('edited', head!.sequence, `Record ${head!.sequence} was rewritten together with its hash: the head of the chain holds another.`);
    }
  }

  #judgeCheckpoints(): void {
    const last = this.#last?.sequence ?? 0;
    const told = this.#faults.length > 0;
    const beyond = (this.#evidence.checkpoints ?? []).filter(({ sequence }) => sequence > last).sort((a, b) => b.sequence - a.sequence)[0];
    if (beyond !== undefined && (this.#evidence.part ?? 'whole') === 'whole' && !this.#faults.some(({ kind }) => kind === 'truncated')) {
      this.#tell('truncated', last + 1, `Records ${last + 1} to ${beyond.sequence} were cut off: the checkpoint of ${beyond.at} attests them.`);
    }
    const bad = this.#badCheckpoint;
    // What was found in the chain itself says more exactly what a checkpoint only notices.
    if (bad !== null && !told) {
      this.#tell('checkpoint_mismatch', bad.sequence, `Records ${this.#lastGoodCheckpoint + 1} to ${bad.sequence} were rewritten since ${bad.at}: the checkpoint of then attests another hash.`);
    }
  }

  #tellGap(from: number, to: number): void {
    if (from === to) this.#tell('missing', from, `Record ${from} is not there${from === 1 ? '' : `; ${from - 1} is followed by ${to + 1}`}.`);
    else this.#tell('missing', from, `Records ${from} to ${to} are not there.`);
  }

  #tell(kind: FaultKind, sequence: number | null, detail: string): void {
    if (this.#faults.length < TOLD) this.#faults.push({ ...this.#evidence.name, kind, sequence, detail });
  }
}
