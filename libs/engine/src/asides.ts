import { WINDOW_SIZE, type Rejection } from '#lib/decision';
import { LogUnavailable } from '#lib/log';
import type { ContentCache } from './content-cache.js';
import { commandReused, EngineFailure } from './engine-failure.js';
import type { History } from './history.js';
import type { HotStream } from './hot-set.js';
import type { PendingCommand } from './pending-command.js';
import type { PastNeed, StreamState } from './stream-kind.js';

/** `again`: all it needs is at hand now, decide it. */
export type AsideEnd = 'again' | 'answered';

/** What a command waits for beside the writer's loop, so that the commands behind it go on. */
export class Asides {
  constructor(
    private readonly partition: number,
    private readonly history: History,
    private readonly content: ContentCache,
  ) {}

  async fetchContent(command: PendingCommand, hash: string): Promise<AsideEnd> {
    command.story = await this.content.load(hash);
    if (command.story !== undefined) return 'again';
    command.fail(new EngineFailure('VERSION_NOT_FOUND', `there is no story content with the hash ${hash}`));
    return 'answered';
  }

  async fetchPast(command: PendingCommand, need: PastNeed): Promise<AsideEnd> {
    command.past = await this.history.past(need, command.kind);
    return 'again';
  }

  /** The command took effect before: its first turn and position, the state as it is now. */
  async repeated(command: PendingCommand, hot: HotStream, first: { readonly offset: number; readonly version: number }): Promise<AsideEnd> {
    const turn = await this.history.turnAt(command.request.stream, first.offset, command.kind);
    const { state } = hot;
    if (state === null) throw new EngineFailure('PLAYTHROUGH_PARKED', 'the stream is parked');
    const { offset, version } = first;
    command.answer({ kind: 'accepted', duplicate: true, partition: this.partition, offset, turn, version, state });
    return 'answered';
  }

  /** Whether a command that has no effect now may have been accepted so long ago that the head's window has forgotten it. */
  mayBeOlder(command: PendingCommand, { head }: HotStream, state: StreamState | null): boolean {
    return head.window.length >= WINDOW_SIZE && command.kind.mayBeOlder(command.request.command, state);
  }

  /** Looks for it among all that was ever accepted: decided without, it could take effect a second time. */
  async search(command: PendingCommand, hot: HotStream): Promise<AsideEnd> {
    const { head } = hot;
    // The batch that asks may push it out of the window.
    const here = head.window.find(({ commandId }) => commandId === command.request.commandId);
    const first = here ?? (await this.history.beforeWindow(command, head));
    if (first === undefined) {
      command.soughtTo = head.window.at(-1)?.offset;
      return 'again';
    }
    if (first.commandDigest !== command.digest) throw commandReused();
    return this.repeated(command, hot, first);
  }

  /** Answers as it was accepted then; otherwise as it would be answered now. */
  async older(command: PendingCommand, hot: HotStream, otherwise: () => void): Promise<AsideEnd> {
    const first = await this.history.beforeWindow(command, hot.head);
    if (first === undefined) {
      otherwise();
      return 'answered';
    }
    if (first.commandDigest !== command.digest) {
      throw commandReused();
    }
    return this.repeated(command, hot, first);
  }

  reject(command: PendingCommand, { rejected, message, details }: Rejection, state: StreamState | null): void {
    command.answer({ kind: 'rejected', code: rejected, message, ...(details !== undefined && { details }), state });
  }

  /** Success with nothing to record: the effect was there already. */
  nothing(command: PendingCommand, hot: HotStream, state: StreamState): void {
    const last = hot.head.window.at(-1);
    const { version } = hot.head;
    const turn = command.kind.turn(state);
    command.answer({ kind: 'accepted', duplicate: true, partition: this.partition, offset: last?.offset ?? 0, turn, version, state });
  }
}

export function asideFailure(error: unknown): EngineFailure {
  if (error instanceof EngineFailure) return error;
  if (error instanceof LogUnavailable) return new EngineFailure('LOG_UNAVAILABLE', 'the log cannot be read', { cause: error });
  return new EngineFailure('OVERLOADED', 'what the command needs cannot be loaded now', { cause: error });
}
