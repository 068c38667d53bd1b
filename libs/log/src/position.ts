import type { EventLog, LogId, Offset } from './event-log.js';

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
