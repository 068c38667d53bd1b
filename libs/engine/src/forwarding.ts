import { partitionOf, type StreamId } from '#lib/decision';
import type { Clock, Ids, Timers } from '#lib/platform';
import type { CommandOutcome, CommandRequest } from './command.js';
import type { Engine } from './engine.js';
import { EngineFailure, NotOwner } from './engine-failure.js';
import type { Ownership } from './ownership/ownership.js';

/** Carries a command to another node and its outcome back (`encodeRequest`, `replyOf`, `decodeReply`). */
export interface Transport {
  /**
   * @throws EngineFailure that the owner threw; anything else means that nobody knows whether the command arrived.
   */
  send(address: string, request: CommandRequest, deadlineMs: number): Promise<CommandOutcome>;
}

export interface ForwardingOptions {
  readonly engine: Engine;
  readonly ownership: Ownership;
  readonly transport: Transport;
  readonly partitions: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly ids: Ids;
  /** What other nodes reach this one under. */
  readonly address: string;
  /** For callers without their own deadline. */
  readonly deadlineMs: number;
  onAlarm?(message: string): void;
}

/** Pauses between attempts: from the first, doubling to the last, each with up to as much again by chance. */
const FIRST_PAUSE_MS = 20;
const LAST_PAUSE_MS = 500;
/** What an owner's answer may take to come back. */
const ANSWER_MS = 500;

/**
 * Commands for any partition: decided here if this node owns it, sent to its owner otherwise. A lost answer is followed by the same
 * request, which is safe because a commandId takes effect at most once.
 */
export class ForwardingEngine {
  /** Partitions whose owner somebody waited for in vain: the next callers try once and do not wait, until one finds an owner. */
  private readonly ownerless = new Set<number>();

  constructor(private readonly options: ForwardingOptions) {}

  /** Joins; partitions are recovered as they are acquired. */
  async start(): Promise<void> {
    const { ownership, engine, address, onAlarm } = this.options;
    const failed = (error: unknown): void => onAlarm?.(`taking or leaving a partition failed: ${String(error)}`);
    await ownership.start(address, {
      acquired: (partition) => void engine.acquire(partition).catch(failed),
      released: (partition) => engine.release(partition).catch(failed),
    });
  }

  /** Before `stop`, while other nodes can still reach this one: see `Ownership.handOver`. */
  async handOver(): Promise<void> {
    await this.options.ownership.handOver?.();
  }

  async stop(): Promise<void> {
    await this.options.ownership.stop();
    await this.options.engine.stop();
  }

  /** Whether this node decides on that stream. */
  owns(stream: StreamId): boolean {
    return this.options.ownership.ownerOf(partitionOf(stream, this.options.partitions)) === 'self';
  }

  /** `self`, the address of another node, or undefined while nobody is known to own it. */
  ownerOf(partition: number): 'self' | string | undefined {
    return this.options.ownership.ownerOf(partition);
  }

  /** @throws EngineFailure: OVERLOADED if no owner could be reached in time, LOG_UNAVAILABLE if that is the log's fault, OUTCOME_UNKNOWN if one may have it. */
  async execute(request: CommandRequest): Promise<CommandOutcome> {
    const { clock, ids, partitions } = this.options;
    const partition = partitionOf(request.stream, partitions);
    const deadline = clock.now() + (request.deadlineMs ?? this.options.deadlineMs);
    let sent = false;
    for (let attempt = 0; ; attempt++) {
      const left = deadline - clock.now();
      // A caller in a hurry proves nothing about the others.
      if (left <= 0 && !sent && (request.deadlineMs ?? Infinity) >= this.options.deadlineMs) this.ownerless.add(partition);
      if (left <= 0 || (attempt > 0 && !sent && this.ownerless.has(partition))) throw this.tooLate(partition, sent).spread(ids);
      try {
        const outcome = await this.attempt(partition, request, left);
        this.ownerless.delete(partition);
        return outcome;
      } catch (error) {
        if (error instanceof EngineFailure) {
          if (!(error instanceof NotOwner)) this.ownerless.delete(partition);
          // "Nothing happened" may be true of this try alone: if an earlier answer was lost, only a decision settles it.
          const settles = !(error instanceof NotOwner) && (!sent || !error.retryable);
          if (settles) throw error.spread(ids);
        } else sent = true;
      }
      await this.pause(attempt, deadline);
    }
  }

  /** A command that another node sent here: decided or refused, never sent on, so that stale maps cannot make circles. */
  executeForwarded(request: CommandRequest): Promise<CommandOutcome> {
    return this.options.engine.execute(request);
  }

  private attempt(partition: number, request: CommandRequest, leftMs: number): Promise<CommandOutcome> {
    const { ownership, engine, transport } = this.options;
    const owner = ownership.ownerOf(partition);
    if (owner === undefined) return Promise.reject(new NotOwner(`nobody is known to own partition ${partition}`));
    if (owner === 'self') return engine.execute({ ...request, deadlineMs: leftMs });
    // The owner gives up first: its word that nothing happened must arrive while somebody still waits for it.
    return transport.send(owner, { ...request, deadlineMs: leftMs - Math.min(ANSWER_MS, leftMs / 4) }, leftMs);
  }

  private tooLate(partition: number, sent: boolean): EngineFailure {
    if (sent) {
      const message = 'the owner of the partition did not answer in time; send the command again with the same commandId';
      return new EngineFailure('OUTCOME_UNKNOWN', message);
    }
    const outage = this.options.ownership.outage?.();
    if (outage !== undefined) {
      return new EngineFailure('LOG_UNAVAILABLE', `partition ${partition} has no owner: ${outage}; the command had no effect`);
    }
    return new EngineFailure('OVERLOADED', `partition ${partition} had no owner in time; the command had no effect`);
  }

  private async pause(attempt: number, deadline: number): Promise<void> {
    const { clock, timers, ids } = this.options;
    const step = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10));
    const jitter = Number.parseInt(ids.hex(2), 16) % step;
    const ms = Math.max(1, Math.min(step + jitter, deadline - clock.now()));
    await new Promise<void>((resolve) => void timers.after(ms, resolve));
  }
}
