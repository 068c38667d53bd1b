import type { DecodedRecord, StreamId } from '#lib/decision';
import type { Offset } from '#lib/log';

export interface TailRecord extends DecodedRecord {
  readonly offset: Offset;
}

interface Place {
  readonly offset: Offset;
  readonly stream: StreamId;
  readonly bytes: number;
}

/** A decoded record takes about this many times its bytes on the heap. */
const DECODED = 3;

/**
 * The tail of one partition's log above the projector's position, by stream: what a cold stream's row cannot hold yet.
 * Holds every record at or above `from` of every stream that is not hot (a hot stream's records are folded into its state,
 * and it stays hot until the projector has passed them). At the byte cap the oldest are forgotten and `from` moves up:
 * rows older than `from` are then completed from the log.
 */
export class TailIndex {
  private readonly records = new Map<StreamId, TailRecord[]>();
  /** All records in order; those before `first` are gone. */
  private order: Place[] = [];
  private first = 0;
  private used = 0;
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

  add(record: TailRecord, size: number): void {
    const { stream } = record.record;
    const list = this.records.get(stream);
    if (list === undefined) this.records.set(stream, [record]);
    else list.push(record);
    const place = { offset: record.offset, stream, bytes: size * DECODED };
    this.order.push(place);
    this.used += place.bytes;
    while (this.used > this.maxBytes) this.forgetFirst();
  }

  /** Records of that stream at or above `position`, in order. */
  of(stream: StreamId, position: Offset): readonly TailRecord[] {
    const list = this.records.get(stream);
    return list === undefined ? [] : list.filter((record) => record.offset >= position);
  }

  /** The stream became hot: its state holds these records now. */
  release(stream: StreamId): void {
    this.records.delete(stream);
  }

  /** The projector's rows hold everything below `position`. */
  prune(position: Offset): void {
    while (this.first < this.order.length && (this.order[this.first] as Place).offset < position) this.forgetFirst();
    if (position > this.reach) this.reach = position;
  }

  private forgetFirst(): void {
    const place = this.order[this.first++] as Place;
    this.used -= place.bytes;
    this.reach = Math.max(this.reach, place.offset + 1);
    const list = this.records.get(place.stream);
    if (list !== undefined && list[0]?.offset === place.offset) {
      if (list.length === 1) this.records.delete(place.stream);
      else list.shift();
    }
    if (this.first > 1024 && this.first * 2 > this.order.length) {
      this.order = this.order.slice(this.first);
      this.first = 0;
    }
  }
}
