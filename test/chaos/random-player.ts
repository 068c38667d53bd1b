import type { CommandOutcome, CommandRequest, Engine } from '#lib/engine';
import { EngineFailure } from '#lib/engine';
import {
  derivedPlaythroughId,
  momentOf,
  playthroughStream,
  stateHash,
  type PlaythroughCommand,
  type PlaythroughState,
} from '#lib/playthrough';
import type { CompiledStory } from '#lib/story';
import { Random } from '../simulation/random.js';
import { pause } from './crowd.js';

/** What the engine told: after which version of which stream the state had which hash. */
export type Told = Map<string, Map<number, string>>;

export interface PlayCounts {
  turns: number;
  readonly outcomes: Map<string, number>;
}

const HABITS = { choose: 100, rewind: 4, fork: 1, checkpoint: 2, again: 3, stale: 2, waitTooLong: 10 };
const SEALED = { alg: 'A256GCM', kid: 'k', iv: 'AAAAAAAAAAAAAAAA', ct: 'AAAA', tag: 'AAAAAAAAAAAAAAAAAAAAAA' } as const;
const RETRIES = 200;

/** One reader who plays by a seed, in process, and remembers every state hash that it was told. */
export class RandomPlayer {
  private readonly random: Random;
  private readonly actor;
  private state: PlaythroughState | undefined;
  private last: CommandRequest | undefined;
  private marks = 0;

  constructor(
    private readonly engine: Engine,
    private readonly story: CompiledStory,
    seed: number,
    private readonly told: Told,
    private readonly counts: PlayCounts,
    /** Lets time pass for everybody, ms. */
    private readonly letPass: (ms: number) => void,
  ) {
    this.random = new Random(seed);
    this.actor = { id: `random-${seed}`, role: 'reader' } as const;
  }

  async play(longest: number): Promise<void> {
    const commandId = this.commandId();
    const id = derivedPlaythroughId(this.actor.id, commandId);
    // A preview may choose its seed: the same draws in every run.
    const seed = this.random.hex(32);
    const { story, hash } = this.story;
    await this.send(id, { type: 'start', storyId: story.id, versionHash: hash, preview: true, seed }, commandId);
    for (let turns = 0; turns < longest && this.state !== undefined; turns++) if (!(await this.move(this.state))) return;
  }

  /** False when this reader has enough. */
  private async move(state: PlaythroughState): Promise<boolean> {
    const { id, turn } = state;
    const first = state.forkedFrom?.turn ?? 0;
    const open = momentOf(this.story, state).offers.filter((offer) => offer.enabled);
    const stuck = state.status === 'ended' || open.length === 0;
    if (stuck && (turn === first || this.random.chance(0.4))) {
      if (state.status === 'ended') this.count('ended');
      return false;
    }
    switch (stuck ? 'rewind' : this.random.weighted(HABITS)) {
      case 'choose':
        await this.send(id, { type: 'choose', choiceId: this.random.pick(open).id, turn });
        return true;
      case 'rewind':
        if (turn > first) await this.send(id, { type: 'rewind', toTurn: this.random.int(first, turn - 1), turn });
        return true;
      case 'fork': {
        const commandId = this.commandId();
        // Goes on with the what-if.
        await this.send(
          derivedPlaythroughId(this.actor.id, commandId),
          { type: 'fork', from: id, atTurn: this.random.int(first, turn) },
          commandId,
        );
        return true;
      }
      case 'checkpoint':
        await this.send(id, { type: 'setCheckpoint', checkpoint: { name: SEALED, mark: `m${++this.marks}`, turn }, turn });
        return true;
      case 'again':
        if (this.last !== undefined) await this.execute(this.last);
        return true;
      case 'stale':
        if (turn > first) await this.send(id, { type: 'choose', choiceId: this.random.pick(open).id, turn: turn - 1 });
        return true;
      case 'waitTooLong':
        if (state.deadline !== null && this.random.chance(0.5)) {
          this.letPass(state.deadline - state.lastAt + 1_000);
          await this.send(id, { type: 'choose', choiceId: this.random.pick(open).id, turn });
        }
        return true;
    }
  }

  private async send(id: string, command: PlaythroughCommand, commandId = this.commandId()): Promise<void> {
    this.last = {
      ...{ stream: playthroughStream(id), commandId, command, actor: this.actor, correlationId: this.random.hex(32), causationId: null },
      digestInput: JSON.parse(JSON.stringify(command)) as CommandRequest['digestInput'],
    };
    const outcome = await this.execute(this.last);
    // A stale reader is shown where the playthrough stands; who is refused otherwise stays where it is.
    const now = outcome.state as PlaythroughState | null;
    if (now !== null && (outcome.kind === 'accepted' || now.id === this.state?.id)) this.state = now;
  }

  /** Sends the same until somebody says what became of it. */
  private async execute(request: CommandRequest): Promise<CommandOutcome> {
    for (let attempt = 0; ; attempt++) {
      try {
        const outcome = await this.engine.execute(request);
        this.learn(request, outcome);
        return outcome;
      } catch (error) {
        if (!(error instanceof EngineFailure) || !error.retryable || attempt === RETRIES) throw error;
        this.count(`failed ${error.code}`);
        await pause(this.random.int(5, 50));
      }
    }
  }

  private learn({ stream, command }: CommandRequest, outcome: CommandOutcome): void {
    if (outcome.kind === 'rejected') return this.count(`rejected ${outcome.code}`);
    if (outcome.duplicate) return this.count('duplicate');
    this.count(`accepted ${command.type}`);
    if (command.type === 'choose' || command.type === 'rewind') this.counts.turns++;
    const versions = this.told.get(stream) ?? new Map<number, string>();
    this.told.set(stream, versions);
    versions.set(outcome.version, stateHash(outcome.state as PlaythroughState));
  }

  private count(what: string): void {
    this.counts.outcomes.set(what, (this.counts.outcomes.get(what) ?? 0) + 1);
  }
  private commandId(): string {
    return `c:${this.random.uuid()}`;
  }
}
