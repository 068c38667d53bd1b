import type { StreamId } from '#lib/decision';
import type { PlannedRecord } from './batch-plan.js';
import type { CommandRequest } from './command.js';
import { EngineFailure } from './engine-failure.js';
import type { EngineLimits } from './limits.js';
import type { PendingCommand } from './pending-command.js';

/** However short the queue is, a stream may have this many commands in it. */
const LEAST_SHARE = 16;

interface Share {
  commands: number;
  bytes: number;
}

type Named = Pick<CommandRequest, 'stream' | 'commandId'>;
const keyOf = ({ stream, commandId }: Named): string => `${stream} ${commandId}`;

/**
 * All commands of a partition that are not answered yet, wherever they wait. Bounded, and no stream may fill it: ten thousand clients on one
 * playthrough are refused by themselves while the other playthroughs of the partition go on.
 */
export class PendingCommands {
  private readonly commands = new Set<PendingCommand>();
  private readonly shares = new Map<StreamId, Share>();
  private bytes = 0;
  /** Commands whose records may be in the log and have no verdict yet, whoever waits for them still. */
  private readonly underway = new Set<string>();

  constructor(private readonly limits: Pick<EngineLimits, 'queueCommands' | 'queueBytes' | 'streamShare'>) {}

  get size(): number {
    return this.commands.size;
  }

  /** Until the verdicts are known. */
  async whileUnderway(records: readonly PlannedRecord[], work: () => Promise<void>): Promise<void> {
    for (const { record } of records) this.underway.add(keyOf(record));
    try {
      await work();
    } finally {
      this.underway.clear();
    }
  }

  /** Whether the record of an earlier try may be in the log: that nothing happened would be true of the later one alone. */
  isUnderway(command: Named): boolean {
    return this.underway.has(keyOf(command));
  }

  /** Why one more command on that stream cannot be taken. */
  refusal(stream: StreamId): EngineFailure | undefined {
    const { queueCommands, queueBytes, streamShare } = this.limits;
    if (this.commands.size >= queueCommands || this.bytes >= queueBytes) {
      return new EngineFailure('OVERLOADED', 'too many commands wait for this partition');
    }
    const share = this.shares.get(stream);
    if (share === undefined) return undefined;
    const most = Math.max(LEAST_SHARE, Math.ceil(queueCommands * streamShare));
    if (share.commands < most && share.bytes < queueBytes * streamShare) return undefined;
    const details = { stream, waiting: share.commands };
    return new EngineFailure('RATE_LIMITED', 'too many commands wait for this playthrough alone; others go on', { details });
  }

  add(command: PendingCommand): void {
    const { stream } = command.request;
    if (this.isUnderway(command.request)) command.sent = true;
    this.commands.add(command);
    this.bytes += command.bytes;
    const share = this.shares.get(stream);
    if (share === undefined) this.shares.set(stream, { commands: 1, bytes: command.bytes });
    else {
      share.commands++;
      share.bytes += command.bytes;
    }
  }

  answered(command: PendingCommand): void {
    if (!this.commands.delete(command)) return;
    const { stream } = command.request;
    this.bytes -= command.bytes;
    const share = this.shares.get(stream) as Share;
    share.commands--;
    share.bytes -= command.bytes;
    if (share.commands === 0) this.shares.delete(stream);
  }

  /** Those that are not on their way to the log end with this: nothing happened. */
  failUnsent(failure: () => EngineFailure): void {
    for (const command of this.commands) if (!command.sent) command.fail(failure());
  }

  /** Everybody is told: what is on its way has an unknown outcome. */
  failAll(failure: () => EngineFailure): void {
    for (const command of this.commands) {
      if (command.sent) command.expire();
      else command.fail(failure());
    }
  }

  /** Answers those whose callers wait no longer; whether there were any. `unsent` says why nothing became of a command, if that is known. */
  expire(now: number, unsent: () => EngineFailure | undefined): boolean {
    let expired = false;
    for (const command of this.commands) {
      if (command.deadline > now) continue;
      const why = command.sent ? undefined : unsent();
      if (why === undefined) command.expire();
      else command.fail(why);
      expired = true;
    }
    return expired;
  }
}
