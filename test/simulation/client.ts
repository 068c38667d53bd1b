import type { CommandRequest } from '#lib/engine';
import { derivedPlaythroughId, playthroughStream, type PlaythroughCommand, type PlaythroughState } from '#lib/playthrough';
import type { Random } from './random.js';
import { STORY_HASH, STORY_ID } from './story.js';
import type { World } from './world.js';

/** A playthrough as its reader's devices know it together. */
export interface Shared {
  id: string | undefined;
  state: PlaythroughState | undefined;
  readonly reader: string;
}

const CHOICES: { readonly [passage: string]: readonly string[] } = {
  hall: ['walk', 'walk', 'walk', 'roll', 'roll', 'door', 'locked', 'nowhere'],
  cellar: ['walk', 'up', 'up', 'nowhere'],
};

/** How often a client does what. */
const HABITS = {
  choose: 50,
  burst: 14,
  doubled: 8,
  stale: 4,
  replay: 8,
  reuse: 3,
  rewind: 7,
  fork: 3,
  checkpoint: 6,
  end: 0.5,
  pause: 4,
};

/** One device of one reader: plays, loses patience, tries again with the same id, and sometimes misbehaves. */
export class Client {
  finished = false;
  private readonly sent: CommandRequest[] = [];
  private checkpoints = 0;

  constructor(
    private readonly world: World,
    private readonly random: Random,
    private shared: Shared,
    private readonly first: boolean,
    private readonly acts: number,
  ) {}

  async play(): Promise<void> {
    if (this.first) await this.start();
    while (this.shared.state === undefined) await this.world.wait(20);
    for (let i = 0; i < this.acts; i++) {
      await this.world.wait(this.random.int(0, 60));
      await this.act(this.random.weighted(HABITS));
    }
    this.finished = true;
  }

  private async start(): Promise<void> {
    const commandId = this.commandId();
    this.shared.id = derivedPlaythroughId(this.shared.reader, commandId);
    const command: PlaythroughCommand = { type: 'start', storyId: STORY_ID, versionHash: STORY_HASH, preview: false };
    await this.send(this.request(this.shared.id, command, commandId));
  }

  private async act(habit: keyof typeof HABITS): Promise<void> {
    const { id, state } = this.shared;
    if (id === undefined || state === undefined) return;
    const { turn } = state;
    switch (habit) {
      case 'choose':
        return this.send(this.request(id, this.choose(turn)));
      case 'burst': {
        // Sent without waiting for the one before, in the hope that all fit: what pipelining clients do.
        const node = this.world.anyNode();
        const walks = Array.from({ length: this.random.int(2, 3) }, (_, i) =>
          this.request(id, { type: 'choose', choiceId: 'walk', turn: turn + i }),
        );
        return void (await Promise.all(walks.map((walk) => this.send(walk, node))));
      }
      case 'doubled': {
        const request = this.request(id, this.choose(turn));
        return void (await Promise.all([this.send(request), this.send(request)]));
      }
      case 'stale':
        return this.send(this.request(id, this.choose(Math.max(0, turn - this.random.int(1, 3)))));
      case 'replay':
        return this.sent.length === 0 ? undefined : this.send(this.random.pick(this.sent));
      case 'reuse':
        return this.sent.length === 0
          ? undefined
          : this.send({ ...this.random.pick(this.sent), digestInput: { other: this.random.int(0, 9) } });
      case 'rewind':
        return turn === 0 ? undefined : this.send(this.request(id, { type: 'rewind', toTurn: this.random.int(0, turn - 1), turn }));
      case 'fork':
        return this.fork(id, this.random.int(state.forkedFrom?.turn ?? 0, turn));
      case 'checkpoint': {
        const name = { alg: 'A256GCM', kid: 'k', iv: 'AAAAAAAAAAAAAAAA', ct: 'AAAA', tag: 'AAAAAAAAAAAAAAAAAAAAAA' } as const;
        const checkpoint = { name, mark: `m${++this.checkpoints % 5}`, turn };
        return this.send(this.request(id, { type: 'setCheckpoint', checkpoint, turn }));
      }
      case 'end':
        return this.send(this.request(id, { type: 'choose', choiceId: 'leave', turn }));
      case 'pause':
        return this.world.wait(this.random.int(200, 1_500));
    }
  }

  /** Goes on with the what-if for the rest of this client's time, now and then. */
  private async fork(from: string, atTurn: number): Promise<void> {
    const commandId = this.commandId();
    const id = derivedPlaythroughId(this.shared.reader, commandId);
    const mine: Shared = { id, state: undefined, reader: this.shared.reader };
    await this.send(this.request(id, { type: 'fork', from, atTurn }, commandId), undefined, mine);
    if (mine.state !== undefined && this.random.chance(0.5)) this.shared = mine;
  }

  private choose(turn: number): PlaythroughCommand {
    const passage = this.shared.state?.narrative.passageId ?? 'hall';
    return { type: 'choose', choiceId: this.random.pick(CHOICES[passage] as readonly string[]), turn };
  }

  private request(id: string, command: PlaythroughCommand, commandId = this.commandId()): CommandRequest {
    return {
      stream: playthroughStream(id),
      commandId,
      digestInput: JSON.parse(JSON.stringify(command)) as CommandRequest['digestInput'],
      command,
      actor: { id: this.shared.reader, role: 'reader' },
      correlationId: this.random.hex(32),
      causationId: null,
      deadlineMs: this.random.int(100, 500),
    };
  }

  private commandId(): string {
    return `c:${this.random.uuid()}`;
  }

  /** Sends until somebody says what became of it; while faults last, gives up now and then. */
  private async send(request: CommandRequest, node = this.world.anyNode(), shared = this.shared): Promise<void> {
    this.sent.push(request);
    for (let attempt = 0; ; attempt++) {
      const seen = await this.world.call(attempt === 0 ? node : this.world.anyNode(), request, this.random.int(80, 600));
      this.world.history.add(seen);
      if (!this.world.faulty && seen.saw === 'outcome' && seen.outcome.kind === 'accepted')
        this.world.history.count('accepted after the last fault');
      if (seen.saw === 'outcome') return this.learn(shared, request, seen.outcome.state);
      if (seen.saw === 'failure' && !seen.noEffect && seen.code !== 'OUTCOME_UNKNOWN') return;
      if (request.command.type !== 'start' && this.world.faulty && attempt >= 6 && this.random.chance(0.2)) return;
      await this.world.wait(this.random.int(5, 120));
    }
  }

  private learn(shared: Shared, request: CommandRequest, state: unknown): void {
    const now = state as PlaythroughState | null;
    if (now === null || request.stream !== playthroughStream(shared.id ?? '')) return;
    if (shared.state === undefined || now.turn >= shared.state.turn) shared.state = now;
  }
}
