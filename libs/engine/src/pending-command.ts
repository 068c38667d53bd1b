import type { Offset } from '#lib/log';
import type { CompiledStory } from '#lib/story';
import type { CommandOutcome, CommandRequest } from './command.js';
import { EngineFailure, outcomeUnknown } from './engine-failure.js';
import { roughSize } from './rough-size.js';
import type { PastNarrative, StreamKind } from './stream-kind.js';

/** A command between its arrival and its answer. Answered exactly once, whatever happens to the writer. */
export class PendingCommand {
  readonly bytes: number;
  /** Fetched before deciding, when the command needs it; null: there is no such turn. */
  past: PastNarrative | null | undefined;
  /** Loaded for this command: at hand for it even if the cache is too small to keep it. */
  story: CompiledStory | undefined;
  /** Decisions that met a conflict. */
  attempts = 0;
  /** Its record, or that of an earlier try, may be in the log: a caller that stops waiting now does not know the outcome. */
  sent = false;
  /** Its turn is ahead of this writer's state: the tail is read to its end, once, before it is decided. */
  tail: 'as-it-is' | 'wanted' | 'read' = 'as-it-is';
  /** Among all accepted up to there, by offset, this command was looked for in vain. */
  soughtTo: Offset | undefined;
  private answered = false;

  constructor(
    readonly request: CommandRequest,
    readonly kind: StreamKind,
    readonly digest: string,
    /** On the engine's clock. */
    readonly deadline: number,
    private readonly resolve: (outcome: CommandOutcome) => void,
    private readonly reject: (failure: EngineFailure) => void,
    private readonly onAnswered: (command: PendingCommand) => void,
  ) {
    this.bytes = 400 + roughSize(request.digestInput) + roughSize(request.command);
  }

  storyOf(hash: string): CompiledStory | undefined {
    return this.story?.hash === hash ? this.story : undefined;
  }

  get done(): boolean {
    return this.answered;
  }

  answer(outcome: CommandOutcome): void {
    if (this.answered) return;
    this.answered = true;
    this.onAnswered(this);
    this.resolve(outcome);
  }

  fail(failure: EngineFailure): void {
    if (this.answered) return;
    this.answered = true;
    this.onAnswered(this);
    this.reject(failure);
  }

  /** The caller waits no longer; if a record is on its way the writer goes on to learn its verdict. */
  expire(): void {
    this.fail(this.sent ? outcomeUnknown() : new EngineFailure('OVERLOADED', 'the command was not decided in time and had no effect'));
  }
}
