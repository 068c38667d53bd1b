import { Random } from '../simulation/random.js';
import type { Arena } from './arena.js';
import { chaosStory, CHOICES } from './chaos-story.js';
import { commands, Network, type Command, type Seen } from './device.js';
import type { History } from './history.js';

/** What a device does next, by weight. */
export const HABITS = { choose: 60, doubled: 6, stale: 4, replay: 7, reuse: 4, rewind: 5, fork: 2, checkpoint: 3, look: 6 };

export interface CrowdOptions {
  /** Where servers can be reached now; never empty for long. */
  readonly urls: () => readonly string[];
  /** One token per reader; each reader has one playthrough, and fights over it with itself. */
  readonly readers: readonly string[];
  readonly devices: number;
  readonly storyId: string;
  readonly seed: number;
  readonly history: History;
  /** How long a device waits for an answer before it sends the command again, ms. */
  readonly patienceMs?: number;
  /** Longest pause between two commands of a device, ms. */
  readonly thinkMs?: number;
  readonly habits?: typeof HABITS;
  /** Why going on is no use, if so. */
  readonly problem?: () => string | undefined;
}

/** A reader's playthrough as its devices know it together. */
interface Reader {
  readonly token: string;
  id: string;
  now: Seen;
  checkpoints: number;
}

const REMEMBERED = 100;
/** Tries per playthrough: it holds 50 checkpoints, and most tries lose their turn to another device. */
const CHECKPOINTS = 250;
/** Between two tries of a command: from the first, at most doubling to the second. */
const PAUSE_MS = [40, 1_000] as const;
const LONGEST_PATIENCE_MS = 10_000;

/** Many devices of few readers, each sending command after command until it is told what became of each, until `stop`. */
export class Crowd {
  private readonly network: Network;
  private readonly random: Random;
  private readonly readers: Reader[] = [];
  private running: Promise<void> | undefined;
  private stopping = false;
  private abandoned = false;

  constructor(private readonly options: CrowdOptions) {
    this.network = new Network(options.history);
    this.random = new Random(options.seed);
  }

  /** Begins a playthrough per reader and lets the devices loose. */
  async start(): Promise<void> {
    const { readers, devices, storyId } = this.options;
    for (const token of readers) {
      const reader: Reader = { token, id: '', now: { turn: 0, passageId: 'hall' }, checkpoints: 0 };
      await this.send(reader, commands.start(storyId), this.random, reader);
      if (reader.id === '') throw new Error('a playthrough could not be started');
      this.readers.push(reader);
    }
    const all = Array.from({ length: devices }, (_, i) =>
      this.play(this.readers[i % readers.length] as Reader, new Random(this.options.seed * 1_000 + i)),
    );
    this.running = Promise.all(all).then(() => undefined);
  }

  /** Waits until so many more turns were taken. @throws when that takes too long: no progress is a failure. */
  async turns(more: number, withinMs: number): Promise<void> {
    const { history } = this.options;
    const wanted = history.acceptedTurns + more;
    const deadline = performance.now() + withinMs;
    while (history.acceptedTurns < wanted) {
      const problem = this.options.problem?.();
      if (problem !== undefined) throw new Error(problem);
      if (performance.now() > deadline) {
        throw new Error(`only ${more - wanted + history.acceptedTurns} of ${more} turns within ${withinMs} ms: ${countsOf(history)}`);
      }
      await pause(20);
    }
  }

  /** Ends when every command under way is decided. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
    this.network.close();
  }

  /** Ends at once, whatever is under way: for when the test has failed already. */
  async abandon(): Promise<void> {
    this.abandoned = true;
    await this.stop();
  }

  get playthroughs(): readonly { readonly id: string; readonly token: string }[] {
    return this.readers;
  }

  private async play(reader: Reader, random: Random): Promise<void> {
    const sent: Command[] = [];
    while (!this.stopping) {
      await pause(random.int(0, this.options.thinkMs ?? 20));
      for (const command of this.next(reader, sent, random)) {
        if (command === 'look') await this.look(reader, random);
        else {
          sent.push(...command);
          if (sent.length > REMEMBERED) sent.splice(0, sent.length - REMEMBERED);
          await Promise.all(command.map((one) => this.send(reader, one, random)));
        }
      }
    }
  }

  /** Commands to send at once; or a look. */
  private next(reader: Reader, sent: readonly Command[], random: Random): readonly (readonly Command[] | 'look')[] {
    const { id, now } = reader;
    const { turn, passageId } = now;
    const pick = (): string => random.weighted(CHOICES[passageId] ?? { walk: 1 });
    const choose = (): Command => commands.choose(id, pick(), turn);
    const before = sent.length === 0 ? undefined : random.pick(sent);
    switch (random.weighted(this.options.habits ?? HABITS)) {
      case 'choose':
        return [[choose()]];
      case 'doubled': {
        const twice = choose();
        return [[twice, twice]];
      }
      case 'stale':
        return [[commands.choose(id, pick(), Math.max(0, turn - random.int(1, 4)))]];
      case 'replay':
        return before === undefined ? [] : [[before]];
      case 'reuse':
        return before === undefined
          ? []
          : [[commands.choose(id, `${before.payload.includes('roll') ? 'walk' : 'roll'}`, turn, before.commandId)]];
      case 'rewind':
        return turn === 0 ? [] : [[commands.rewind(id, Math.max(0, turn - random.int(1, 40)), turn)]];
      case 'fork':
        return [[commands.fork(id, random.int(0, turn))]];
      case 'checkpoint':
        return reader.checkpoints >= CHECKPOINTS ? [] : [[commands.checkpoint(id, `mark ${++reader.checkpoints}`, turn)]];
      case 'look':
        return ['look'];
    }
  }

  /** Sends one command, always with its id, until somebody says what became of it. */
  private async send(reader: Reader, command: Command, random: Random, begins?: Reader): Promise<void> {
    const { history, patienceMs = 2_000 } = this.options;
    let unclear = false;
    for (let attempt = 0; !this.abandoned; attempt++) {
      // Some hang up at once, as readers in a tunnel do: the answer is lost, the command is not. Who was not answered asks more patiently.
      const hasty = attempt === 0 && random.chance(0.04);
      const patience = hasty ? random.int(5, 80) : Math.min(LONGEST_PATIENCE_MS, patienceMs * 1.5 ** attempt);
      const { saw, now } = await this.network.send(this.url(random), reader.token, command, patience);
      if (now !== undefined) this.learn(reader, now, begins);
      if (saw.kind === 'accepted' || saw.kind === 'refused') {
        if (unclear)
          history.count(saw.kind === 'accepted' && saw.duplicate ? 'unknown that had taken effect' : 'unknown that had not taken effect');
        return;
      }
      if (saw.kind === 'unknown' && !unclear) {
        unclear = true;
        history.count('unknown');
      }
      // Some lose patience for good: nobody will ever tell them.
      if (begins === undefined && random.chance(0.02)) return history.count('given up');
      const [shortest, longest] = PAUSE_MS;
      await pause(random.int(shortest, Math.min(longest, shortest * 2 ** (attempt + 1))));
    }
  }

  private async look(reader: Reader, random: Random): Promise<void> {
    const seen = await this.network.look(this.url(random), reader.token, reader.id, this.options.patienceMs ?? 10_000);
    this.options.history.count(typeof seen === 'string' ? `look ${seen}` : 'look');
    if (typeof seen !== 'string') this.learn(reader, seen);
  }

  private learn(reader: Reader, now: Seen, begins?: Reader): void {
    if (begins !== undefined && now.id !== undefined) begins.id = now.id;
    // A fork's answer is of another playthrough.
    if (now.id !== undefined && now.id !== reader.id) return;
    if (now.turn >= reader.now.turn) reader.now = now;
  }

  private url(random: Random): string {
    const urls = this.options.urls();
    return urls.length === 0 ? 'http://127.0.0.1:9' : random.pick(urls);
  }
}

/** So many readers of an arena's story; give it up when a server of the arena ends by itself. */
export async function crowdOf(
  arena: Arena,
  { readers, ...options }: Omit<CrowdOptions, 'problem' | 'urls' | 'readers' | 'storyId'> & { readonly readers: number },
): Promise<Crowd> {
  return new Crowd({
    ...options,
    problem: () => arena.problem(),
    urls: () => arena.urls(),
    readers: await arena.readers(readers),
    storyId: chaosStory.id,
  });
}

export function countsOf(history: History): string {
  return [...history.counts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([what, count]) => `${what} ${count}`)
    .join(', ');
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
