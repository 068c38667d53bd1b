import { isRejection, type Rejection } from '#lib/decision';
import type { CompiledStory } from '#lib/story';
import { applyRecorded } from '../event-catalogue.js';
import { playthrough } from '../playthrough.js';
import type { PlaythroughCommand, PlaythroughContext, PlaythroughRejectionCode } from '../playthrough-commands.js';
import type { PlaythroughEvent } from '../playthrough-events.js';
import type { PlaythroughState, SealedText } from '../playthrough-state.js';

export const READER = 'r-abcdefghijklmnopqrstuvwxyz';
export const SEED = '000102030405060708090a0b0c0d0e0f';
export const name = (text: string): SealedText => ({
  alg: 'A256GCM',
  kid: 'k1',
  iv: 'AAAAAAAAAAAAAAAA',
  ct: Buffer.from(text).toString('base64url'),
  tag: 'AAAAAAAAAAAAAAAAAAAAAA',
});

/** One playthrough and its history, as an engine would keep them; for specs only. */
export class Player {
  state: PlaythroughState | null = null;
  readonly events: PlaythroughEvent[] = [];
  readonly states: PlaythroughState[] = [];
  now = 1_000_000;

  constructor(
    readonly story: CompiledStory,
    readonly id = 'p1',
    readonly reader = READER,
  ) {}

  context(more: Partial<PlaythroughContext> = {}): PlaythroughContext {
    return { story: this.story, now: this.now, playthroughId: this.id, reader: this.reader, entropy: SEED, ...more };
  }

  /** What the engine would fetch for a rewind or fork. */
  past(turn: number): PlaythroughContext['past'] {
    const then = this.states.findLast((state) => state.turn === turn);
    if (then === undefined || this.state === null) return undefined;
    const { narrative, storyId, versionHash, reader, seed, enteredAt } = then;
    return { narrative, draws: this.state.narrative.draws, storyId, versionHash, reader, seed, enteredAt };
  }

  decide(command: PlaythroughCommand, more: Partial<PlaythroughContext> = {}): readonly PlaythroughEvent[] | Rejection {
    const past = command.type === 'rewind' ? this.past(command.toTurn) : undefined;
    return playthrough.decide(command, this.state, this.context({ ...(past !== undefined && { past }), ...more }));
  }

  /** Decides and folds; events must lead to the states they name. */
  send(command: PlaythroughCommand, more: Partial<PlaythroughContext> = {}): readonly PlaythroughEvent[] {
    const decision = this.decide(command, more);
    if (isRejection(decision)) throw new Error(`${decision.rejected}: ${decision.message}`);
    for (const event of decision) {
      this.state = applyRecorded(this.state, JSON.parse(JSON.stringify(event)) as PlaythroughEvent);
      this.states.push(this.state);
      this.events.push(event);
    }
    return decision;
  }

  start(): this {
    this.send({ type: 'start', storyId: this.story.story.id, versionHash: this.story.hash, preview: false });
    return this;
  }

  choose(choiceId: string): readonly PlaythroughEvent[] {
    return this.send({ type: 'choose', choiceId, turn: this.current.turn });
  }

  rejection(command: PlaythroughCommand, more: Partial<PlaythroughContext> = {}): Rejection<PlaythroughRejectionCode> {
    const decision = this.decide(command, more);
    if (!isRejection(decision)) throw new Error('the command was accepted');
    return decision as Rejection<PlaythroughRejectionCode>;
  }

  get current(): PlaythroughState {
    if (this.state === null) throw new Error('not started');
    return this.state;
  }
}
