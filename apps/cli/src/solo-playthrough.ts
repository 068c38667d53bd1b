import { isRejection, type Rejection } from '#lib/decision';
import {
  dueTimeOut,
  momentOf,
  playthrough,
  type Moment,
  type PlaythroughCommand,
  type PlaythroughContext,
  type PlaythroughEvent,
  type PlaythroughState,
} from '#lib/playthrough';
import type { CompiledStory } from '#lib/story';

const READER = 'solo';

/** One playthrough in memory, decided and folded by the very functions that the server uses. */
export class SoloPlaythrough {
  private current: PlaythroughState;
  /** States by turn: a rewind restores one of them. */
  private readonly states = new Map<number, PlaythroughState>();
  /** Turns that led here, without those taken back. */
  private readonly path: number[] = [];

  private constructor(
    private readonly story: CompiledStory,
    private readonly now: () => number,
    started: PlaythroughState,
  ) {
    this.current = started;
    this.arrived();
  }

  /** @param seed any words: the same seed and the same choices give the same draws */
  static start(story: CompiledStory, seed: string, now: () => number): SoloPlaythrough | Rejection {
    const command = { type: 'start', storyId: story.story.id, versionHash: story.hash, preview: true, seed } as const;
    const decided = playthrough.decide(command, null, contextOf(story, now()));
    if (isRejection(decided)) return decided;
    const state = folded(null, decided);
    if (state === null) throw new Error('a start decided no state');
    return new SoloPlaythrough(story, now, state);
  }

  get state(): PlaythroughState {
    return this.current;
  }
  get moment(): Moment {
    return momentOf(this.story, this.current);
  }
  get canUndo(): boolean {
    return this.path.length > 1;
  }

  choose(choiceId: string): readonly PlaythroughEvent[] | Rejection {
    return this.send({ type: 'choose', choiceId, turn: this.current.turn });
  }

  /** Takes the timed choice if its deadline has passed. */
  timeOut(): readonly PlaythroughEvent[] | Rejection | undefined {
    const due = dueTimeOut(this.current, this.now());
    return due === undefined ? undefined : this.send(due.command);
  }

  /** Goes back by one choice: a rewind, so that draws do not repeat. */
  undo(): readonly PlaythroughEvent[] | Rejection | undefined {
    const toTurn = this.path.at(-2);
    if (toTurn === undefined) return undefined;
    const done = this.send({ type: 'rewind', toTurn, turn: this.current.turn });
    // The rewind itself is a turn: it stands for the one it went back to.
    if (!isRejection(done)) this.path.splice(-3, 2);
    return done;
  }

  private send(command: PlaythroughCommand): readonly PlaythroughEvent[] | Rejection {
    const past = command.type === 'rewind' ? this.past(command.toTurn) : undefined;
    const context: PlaythroughContext = {
      ...contextOf(this.story, Math.max(this.now(), this.current.lastAt)),
      ...(past === undefined ? {} : { past }),
    };
    const decided = playthrough.decide(command, this.current, context);
    if (isRejection(decided)) return decided;
    this.current = folded(this.current, decided) ?? this.current;
    this.arrived();
    return decided;
  }

  private arrived(): void {
    this.states.set(this.current.turn, this.current);
    this.path.push(this.current.turn);
  }

  private past(turn: number): PlaythroughContext['past'] {
    const then = this.states.get(turn);
    if (then === undefined) return undefined;
    const { narrative, storyId, versionHash, reader, seed, enteredAt } = then;
    return { narrative, draws: this.current.narrative.draws, storyId, versionHash, reader, seed, enteredAt };
  }
}

const contextOf = (story: CompiledStory, now: number): PlaythroughContext => ({
  story,
  now,
  playthroughId: 'solo',
  reader: READER,
  entropy: '0'.repeat(32),
});

const folded = (state: PlaythroughState | null, events: readonly PlaythroughEvent[]): PlaythroughState | null =>
  events.reduce<PlaythroughState | null>((folding, event) => playthrough.evolve(folding, event), state);
