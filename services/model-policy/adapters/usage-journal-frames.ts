/**
 * The bytes of a journal: frames, one behind the other, each written by one call of write(2).
 *
 *   <length, 8 hex> <CRC-32, 8 hex> <records, one a line>
 *
 * A frame holds what the calls of one moment leave behind. Length and check tell a frame that was not written to its
 * end from a whole one; what stands behind it was never written, so reading a file ends there.
 */
import { crc32 } from 'node:zlib';

const HEADER = /^([0-9a-f]{8}) ([0-9a-f]{8}) $/;
const HEADER_BYTES = 18;
const LINE_BREAK = 10;

export interface ReadFrames {
  /** The records of each, JSON texts, in the order in which they were written. */
  readonly frames: readonly (readonly string[])[];
  /** Bytes behind the last whole frame. */
  readonly tornBytes: number;
  /** They are not the beginning of a frame that was cut off: somebody or something changed what was written. */
  readonly damaged: boolean;
}

/** @param records JSON texts, which hold no line break @param room to write into, where it suffices */
export function encodeFrame(records: readonly string[], room?: Buffer): Buffer {
  // A character takes three bytes at most, a line break one.
  const most = records.reduce((sum, record) => sum + record.length * 3 + 1, HEADER_BYTES);
  const buffer = room !== undefined && room.length >= most ? room : Buffer.allocUnsafe(most);
  let end = HEADER_BYTES;
  // Record by record: joined, they would be copied twice more.
  for (const record of records) {
    end += buffer.write(record, end);
    buffer[end++] = LINE_BREAK;
  }
  const frame = buffer.subarray(0, end);
  frame.write(`${(end - HEADER_BYTES).toString(16).padStart(8, '0')} ${checkOf(frame.subarray(HEADER_BYTES))} `, 0, 'latin1');
  return frame;
}

export function readFrames(bytes: Buffer): ReadFrames {
  const frames: string[][] = [];
  let at = 0;
  let damaged = false;
  while (at + HEADER_BYTES <= bytes.length) {
    const header = HEADER.exec(bytes.toString('latin1', at, at + HEADER_BYTES));
    const end = at + HEADER_BYTES + Number.parseInt(header?.[1] ?? '0', 16);
    if (end > bytes.length) break;
    const payload = bytes.subarray(at + HEADER_BYTES, end);
    damaged = header === null || checkOf(payload) !== header[2];
    if (damaged) break;
    frames.push(payload.toString('utf8', 0, payload.length - 1).split('\n'));
    at = end;
  }
  return { frames, tornBytes: bytes.length - at, damaged };
}

function checkOf(payload: Buffer): string {
  return crc32(payload).toString(16).padStart(8, '0');
}
