/**
 * Tool calls of a streamed answer as vendors send them, made into those of the port. Vendors disagree: the id or name
 * may come late, twice or split, the index may be missing, and several calls may carry the same one.
 */
import type { ProviderChunk } from '../../ports/provider.ts';
import type { CallIds, FunctionNames } from './tools.ts';

interface OpenCall {
  id: string;
  name: string;
  /** As the port counts; null until the call is announced. */
  index: number | null;
  written: string;
}

export interface CallPiece {
  /** The vendor's index; null where it sent none. */
  readonly place: number | null;
  readonly id: string;
  readonly name: string;
  readonly argumentsDelta: string;
}

export class CallPieces {
  private readonly names: FunctionNames;
  private readonly ids: CallIds;
  private readonly calls: OpenCall[] = [];
  private readonly byPlace = new Map<number, OpenCall>();
  private announced = 0;

  constructor(names: FunctionNames, ids: CallIds) {
    this.names = names;
    this.ids = ids;
  }

  get any(): boolean {
    return this.announced > 0;
  }

  /** What the model wrote for all calls: for an estimate of its tokens. */
  written(): string {
    return this.calls.map((call) => `${call.name}${call.written}`).join('');
  }

  add(piece: CallPiece): ProviderChunk[] {
    const call = this.callOf(piece);
    if (piece.id !== '') call.id = piece.id;
    // Some servers repeat the whole name with each piece, others send it in parts.
    if (call.index === null && piece.name !== call.name) call.name += piece.name;
    call.written += piece.argumentsDelta;
    if (call.index !== null) return piece.argumentsDelta === '' ? [] : [{ type: 'tool_call', index: call.index, argumentsDelta: piece.argumentsDelta }];
    return piece.argumentsDelta === '' || call.name === '' ? [] : [this.announce(call)];
  }

  /** Calls without arguments, which nothing has announced. One without a name is none. */
  end(): ProviderChunk[] {
    return this.calls.filter((call) => call.index === null && call.name !== '').map((call) => this.announce(call));
  }

  private announce(call: OpenCall): ProviderChunk {
    const index = this.announced;
    this.announced += 1;
    call.index = index;
    const tool = this.names.toolOf(call.name);
    return { type: 'tool_call', index, id: this.ids.idOf(call.id, index, call.name), toolId: tool.tool_id, name: tool.name, argumentsDelta: call.written };
  }

  private callOf({ place, id }: CallPiece): OpenCall {
    const last = this.calls.at(-1);
    const known = place === null ? last : this.byPlace.get(place);
    const isOther = known === undefined || (id !== '' && known.id !== '' && known.id !== id);
    if (!isOther) return known;
    const call: OpenCall = { id: '', name: '', index: null, written: '' };
    this.byPlace.set(place ?? this.calls.length, call);
    this.calls.push(call);
    return call;
  }
}
