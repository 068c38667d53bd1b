import { decodeRecord, partitionOf, type AcceptedCommand, type StreamHead, type StreamId } from '#lib/decision';
import { RecordsForgotten, type EventLog } from '#lib/log';
import type { Clock, Timers } from '#lib/platform';
import type { ColdSource } from './cold-source.js';
import { EngineFailure, messageOf } from './engine-failure.js';
import type { PendingCommand } from './pending-command.js';
import type { PastNarrative, PastNeed, StreamKind } from './stream-kind.js';
import { pastNarrative } from './past-states.js';

/** How often the read model's position is looked at while somebody waits for it. */
const LOOK_AGAIN_MS = 50;

export interface HistoryContext {
  readonly log: EventLog;
  readonly cold: ColdSource;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly visibleMs: number;
  onAlarm(message: string): void;
}

/** What happened before: answered from the log and the read models, beside the writer and never in its way. */
export class History {
  constructor(
    private readonly partition: number,
    private readonly context: HistoryContext,
  ) {}

  /**
   * Turn of the command whose record stands at that offset.
   * @throws EngineFailure RECORDS_PRUNED when that is no longer known: it took effect all the same
   */
  async turnAt(stream: StreamId, offset: number, kind: StreamKind): Promise<number> {
    try {
      return await this.recordedTurn(offset, kind);
    } catch (error) {
      if (!(error instanceof RecordsForgotten)) throw error;
      // Kinds without turns say 0 whatever the record.
      if (kind.name !== 'playthrough') return kind.turnOf([]);
      const { at } = await this.context.cold.kept(stream, offset);
      if (at !== undefined) return at;
      throw new EngineFailure('RECORDS_PRUNED', 'this command took effect, so long ago that what it led to then is no longer kept', {
        cause: error,
      });
    }
  }

  private async recordedTurn(offset: number, kind: StreamKind): Promise<number> {
    for await (const batch of this.context.log.read(this.partition, offset, { upTo: offset + 1, maxRecords: 1 })) {
      const stored = batch.records.find((record) => record.offset === offset);
      if (stored === undefined) continue;
      const decoded = decodeRecord(stored.value);
      if (decoded.kind !== 'record') break;
      return kind.turnOf(decoded.record.events);
    }
    throw new EngineFailure('INTERNAL', `the record at offset ${offset} of partition ${this.partition} cannot be read back`);
  }

  /**
   * Whether a command that is not in the window was accepted before the window began. Asked only once the read model holds
   * everything older than the window.
   */
  async beforeWindow(command: PendingCommand, head: StreamHead): Promise<AcceptedCommand | undefined> {
    const oldest = head.window[0];
    if (oldest === undefined) return undefined;
    await this.until(this.partition, oldest.offset);
    return this.context.cold.accepted(command.request.stream, command.request.commandId);
  }

  /**
   * The playthrough as it was at that turn, checked against the state hash recorded then; null when there is no such turn.
   * @throws EngineFailure NOT_YET_VISIBLE while the read model lags; RECORDS_PRUNED when the turn is no longer kept; INTERNAL (with an alarm) when the hash differs.
   */
  async past(need: PastNeed, kind: StreamKind): Promise<PastNarrative | null> {
    const { cold, log } = this.context;
    const partition = partitionOf(need.stream, log.partitions);
    const at = await cold.past(need.stream, need.turn);
    if (at === undefined) {
      // Not there: because it never was, or not yet. What the log holds now decides, once the read model holds it too.
      await this.until(partition, await log.end(partition));
      const then = await cold.past(need.stream, need.turn);
      if (then !== undefined) return this.checked(need, kind, then);
      await this.refusePruned(need, partition);
      return null;
    }
    return this.checked(need, kind, at);
  }

  private async refusePruned({ stream, turn }: PastNeed, partition: number): Promise<void> {
    const begin = await this.context.log.begin(partition);
    if (begin === 0) return;
    const { first } = await this.context.cold.kept(stream, begin);
    if (first === undefined || turn >= first) return;
    throw new EngineFailure('RECORDS_PRUNED', `the turns before ${first} were pruned`, { details: { from: String(first) } });
  }

  private checked(need: PastNeed, kind: StreamKind, past: Parameters<typeof pastNarrative>[1]): PastNarrative {
    try {
      return pastNarrative(kind, past);
    } catch (error) {
      this.context.onAlarm(`${need.stream} at turn ${need.turn}: ${messageOf(error)}`);
      throw new EngineFailure('INTERNAL', 'the past state does not match what was recorded; the command was stopped', { cause: error });
    }
  }

  /** Waits until the read model has everything below `offset` of that partition. */
  private async until(partition: number, offset: number): Promise<void> {
    const { clock, timers, cold, visibleMs } = this.context;
    const deadline = clock.now() + visibleMs;
    while ((await cold.position(partition)) < offset) {
      if (clock.now() >= deadline) throw new EngineFailure('NOT_YET_VISIBLE', 'the read model has not come this far yet');
      await new Promise<void>((resolve) => void timers.after(LOOK_AGAIN_MS, resolve));
    }
  }
}
