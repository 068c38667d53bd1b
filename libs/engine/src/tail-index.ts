import type { DecodedRecord, StreamId } from '#lib/decision';
import type { Offset, StoredRecord } from '#lib/log';
import { KeptBytes } from './kept-bytes.js';

/** A decoded record and where it stands. */
export interface TailRecord extends DecodedRecord {
  readonly offset: Offset;
}

/** A record as it was read: decoded when somebody asks for its stream. */
export type RawRecord = Pick<StoredRecord, 'offset' | 'value'>;

interface Kept extends RawRecord {
  readonly stream: StreamId;
}

/** What a kept record takes on the heap beside its bytes. */
const BESIDE = 256;

/**
 * The tail of one partition's log above the projector's position, by stream: what a cold stream's row cannot hold yet.
 * Holds every record at or above `from` of every stream that is not hot (a hot stream's records are folded into its state,
 * and it stays hot until the projector has passed them). At the byte cap the oldest are forgotten and `from` moves up:
 * rows older than `from` are then completed from the log. Records are kept as bytes: of a tail of thousands few are ever asked for.
 */
export class TailIndex {
  private readonly records = new Map<StreamId, Kept[]>();
  /** All records in order; those before `first` are gone. */
  private order: (Kept | undefined)[] = [];
  private first = 0;
  private used = 0;
  private readonly bytesOf = new KeptBytes();
  private reach: Offset;

  constructor(
    from: Offset,
    private readonly maxBytes: number,
  ) {
    this.reach = from;
  }

  get from(): Offset {
    return this.reach;
  }
  get bytes(): number {
    return this.used;
  }

  add(stream: StreamId, { offset, value }: RawRecord): void {
    const kept: Kept = { offset, stream, value: this.bytesOf.keep(value) };
    const list = this.records.get(stream);
    if (list === undefined) this.records.set(stream, [kept]);
    else list.push(kept);
    this.order.push(kept);
    this.used += value.length + BESIDE;
    while (this.used > this.maxBytes) this.forgetFirst();
  }

  /** Records of that stream at or above `position`, in order, as they were read. */
  of(stream: StreamId, position: Offset): readonly RawRecord[] {
    const list = this.records.get(stream);
    return list === undefined ? [] : list.filter((record) => record.offset >= position);
  }

  /** The stream became hot: its state holds these records now. */
  release(stream: StreamId): void {
    this.records.delete(stream);
  }

  /** The projector's rows hold everything below `position`. */
  prune(position: Offset): void {
    while (this.first < this.order.length && (this.order[this.first] as Kept).offset < position) this.forgetFirst();
    if (position > this.reach) this.reach = position;
  }

  private forgetFirst(): void {
    const kept = this.order[this.first] as Kept;
    this.order[this.first++] = undefined;
    this.used -= kept.value.length + BESIDE;
    this.reach = Math.max(this.reach, kept.offset + 1);
    const list = this.records.get(kept.stream);
    if (list !== undefined && list[0] === kept) {
      if (list.length === 1) this.records.delete(kept.stream);
      else list.shift();
    }
    if (this.first > 1024 && this.first * 2 > this.order.length) {
      this.order = this.order.slice(this.first);
      this.first = 0;
    }
  }
}
