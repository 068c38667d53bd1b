import { LogDamaged, type EventLog, type LogId, type Offset } from './event-log.js';

/** Where a reader stands: it means nothing in another log. */
export interface LogPosition {
  readonly logId: LogId;
  readonly offset: Offset;
}

/** A kept position belongs to another log than the one that was opened. */
export class ForeignLog extends Error {
  override readonly name = 'ForeignLog';
  constructor(
    readonly partition: number,
    readonly kept: LogId,
    readonly opened: LogId,
    mend: string,
  ) {
    super(`The kept position in partition ${partition} belongs to log ${kept}, but the opened log is ${opened}. To mend this: ${mend}`);
  }
}

/** A kept position lies beyond the end: the log was cut or put back to an older state. */
export class PositionBeyondEnd extends Error {
  override readonly name = 'PositionBeyondEnd';
  constructor(
    readonly partition: number,
    readonly offset: Offset,
    readonly end: Offset,
    mend: string,
  ) {
    super(
      `The kept position ${offset} in partition ${partition} lies beyond the log's end ${end}: ` +
        `records that were read once are gone. To mend this: ${mend}`,
    );
  }
}

/**
 * Every role checks its kept positions with this before it starts.
 * @param mend the command that mends it, e.g. `fabula projection rebuild`
 * @throws ForeignLog, PositionBeyondEnd
 */
export async function assertPosition(log: EventLog, partition: number, position: LogPosition, mend: string): Promise<void> {
  const opened = await log.id();
  if (position.logId !== opened) throw new ForeignLog(partition, position.logId, opened, mend);
  const end = await log.end(partition);
  if (position.offset > end) throw new PositionBeyondEnd(partition, position.offset, end, mend);
}

/** A partition whose log still holds what a base was recorded for: forgetting was cut off, or the brokers failed before they had noted it. */
export interface Unforgotten {
  readonly partition: number;
  readonly begin: Offset;
  readonly base: Offset;
}

const ASKED_AT_ONCE = 16;

/**
 * A log may begin no later than the base recorded for the partition: what lies between is lost, whoever deleted it. Checked before anything is read.
 * @param baseOf 0 where none was recorded
 * @returns those that begin earlier: whoever may forget does it again
 * @throws LogDamaged
 */
export async function assertBegins(log: EventLog, baseOf: (partition: number) => Offset): Promise<readonly Unforgotten[]> {
  const left = Array.from({ length: log.partitions }, (_, partition) => partition);
  const unforgotten: Unforgotten[] = [];
  const ask = async (): Promise<void> => {
    for (let partition = left.shift(); partition !== undefined; partition = left.shift()) {
      const [begin, base] = [await log.begin(partition), baseOf(partition)];
      if (begin > base)
        throw new LogDamaged(
          `Partition ${partition} of log ${await log.id()} begins at offset ${begin}, but ${base === 0 ? 'nothing of it was pruned' : `it was pruned up to offset ${base} only`}: ` +
            'retention or somebody deleted records, or this database is older than the log. Restore the log, or a newer backup of this database.',
        );
      if (begin < base) unforgotten.push({ partition, begin, base });
    }
  };
  await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE, log.partitions) }, ask));
  return unforgotten.toSorted((one, other) => one.partition - other.partition);
}
