import { decodeRecord, partitionOf, type StreamId } from '#lib/decision';
import { playthroughStream } from '#lib/playthrough';
import { exportStory } from '#lib/story-formats';
import { describeWithOwnKafka } from '../support/kafka.js';
import { isLong } from '../support/requirement.js';
import { verified } from '../support/verification.js';
import { Arena, until } from './arena.js';
import { KafkaArenaLog } from './arena-log.js';
import { chaosStory } from './chaos-story.js';
import { commands, Network, type Command } from './device.js';
import { History, type Saw } from './history.js';

const PARTITIONS = 12;
const PLAYTHROUGHS = isLong ? 3_000 : 240;
const TURNS = isLong ? 10 : 3;
/** Of ten playthroughs nine are of one story. */
const POPULAR = 9;
const DEVICES = 24;
const PATIENCE_MS = 30_000;
/** Of 12 partitions, evenly drawn: one run in a million is above. */
const CHI_SQUARE_MOST = 50.5;
/** By story, the popular one would put nine tenths on one partition. */
const BUSIEST_SHARE_MOST = 0.25;
/** Clients of one playthrough: more than its share of a queue, a tenth of FABULA_QUEUE_LIMIT. */
const CROWD = 400;
const SHARE = 103;
/** Each append takes so long while they come. */
const DELAY_MS = 400;

interface Opened {
  readonly id: string;
  readonly token: string;
  readonly popular: boolean;
}

describeWithOwnKafka('A story that nearly everybody reads, and a playthrough that very many clients want', () => {
  let arena: Arena;
  let network: Network;
  let opened: readonly Opened[] = [];
  const url = (): string => arena.server(0).url;
  beforeAll(async () => {
    arena = await Arena.open({ servers: 1, log: 'kafka', partitions: PARTITIONS });
    network = new Network(new History());
    await publish(arena, { ...chaosStory, id: 'quiet', title: 'Read by few' });
  }, 300_000);
  afterAll(async () => {
    network?.close();
    await arena?.close();
  }, 60_000);

  it(
    'the story heats no partition: its records lie as evenly as chance has it',
    async () => {
      const figures = await verified('kafka hot story', async () => {
        opened = await readAll(arena, network);
        const { streams, records } = await perPartition(arena, opened);
        const expected = opened.length / PARTITIONS;
        const chiSquare = streams.reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
        const total = records.reduce((sum, count) => sum + count, 0);
        // Everything that was asked for is in the log.
        expect(total).toBe(PLAYTHROUGHS * (TURNS + 1));
        expect(chiSquare).toBeLessThan(CHI_SQUARE_MOST);
        expect(Math.max(...records) / total).toBeLessThan(BUSIEST_SHARE_MOST);
        return {
          ...{ playthroughs: opened.length, ofOneStory: opened.filter(({ popular }) => popular).length, records: total },
          recordsPerPartition: records.map(String),
          ...{ chiSquare: chiSquare.toFixed(1), mostOverMean: ((Math.max(...records) * PARTITIONS) / total).toFixed(2) },
        };
      });
      expect(figures.playthroughs).toBe(PLAYTHROUGHS);
    },
    isLong ? 1_800_000 : 180_000,
  );

  it(
    'the playthrough is limited by itself and named in the metrics, while the others of its partition go on',
    async () => {
      if (opened.length === 0) opened = await readAll(arena, network);
      const [hot, others] = ofOnePartition(opened);
      const slow = arena.log as KafkaArenaLog;
      const choose = ({ id }: Opened, turn: number): Command => commands.choose(id, 'walk', turn);
      const send = async ({ id, token }: Opened, turn: number): Promise<Saw> =>
        (await network.send(url(), token, choose({ id, token, popular: true }, turn), PATIENCE_MS)).saw;
      // All of the crowd want the same turn, and then each of the others theirs.
      slow.proxies(0).forEach((proxy) => proxy.begin({ kind: 'delay', ms: DELAY_MS, jitterMs: 0 }));
      const crowd = Array.from({ length: CROWD }, () => send(hot, TURNS));
      const beside = others.map((one) => send(one, TURNS));
      const [theirs, sawOthers] = await Promise.all([Promise.all(crowd), Promise.all(beside)]);
      slow.proxies(0).forEach((proxy) => proxy.end());

      const outcomes = countsOf(theirs);
      expect(sawOthers.map(wordOf)).toEqual(others.map(() => 'accepted'));
      expect(outcomes.get('accepted')).toBe(1);
      expect([...outcomes.keys()].toSorted()).toEqual(['RATE_LIMITED', 'TURN_STALE', 'accepted']);
      // What waits at once is bounded by the stream's share, so most of a crowd that comes at once is turned away.
      expect(outcomes.get('RATE_LIMITED')).toBeGreaterThan(0);
      // Refused commands count too; nobody else is busy enough to be named.
      const named = await busy(url());
      expect(Object.keys(named)).toEqual([playthroughStream(hot.id)]);
      expect(named[playthroughStream(hot.id)]).toBeGreaterThanOrEqual(CROWD);
      // And it goes on as soon as they have gone.
      expect(wordOf(await send(hot, TURNS + 1))).toBe('accepted');
      const words = [...outcomes].map(([word, count]) => `${word} ${count}`);
      process.stderr.write(
        `kafka hot playthrough: ${CROWD} clients, share ${SHARE}: ${words.join(', ')}; ${others.length} others accepted\n`,
      );
    },
    isLong ? 600_000 : 120_000,
  );
});

/** Plays them all, a few at once, each command until it is accepted. */
async function readAll(arena: Arena, network: Network): Promise<readonly Opened[]> {
  const tokens = await arena.readers(DEVICES);
  const opened: Opened[] = [];
  let next = 0;
  const device = async (token: string): Promise<void> => {
    for (let i = next++; i < PLAYTHROUGHS; i = next++) {
      const popular = i % 10 < POPULAR;
      const send = async (command: Command): Promise<string> => {
        for (;;) {
          const { saw, now } = await network.send(arena.server(0).url, token, command, PATIENCE_MS);
          if (saw.kind === 'accepted') return now?.id ?? '';
          if (saw.kind === 'refused') throw new Error(`${command.payload} was refused: ${saw.code}`);
        }
      };
      const id = await send(commands.start(popular ? chaosStory.id : 'quiet'));
      for (let turn = 0; turn < TURNS; turn++) await send(commands.choose(id, 'walk', turn));
      opened.push({ id, token, popular });
    }
  };
  await Promise.all(tokens.map(device));
  return opened;
}

/** What lies where, by the log itself: playthroughs that began there, and their records that name them. */
async function perPartition(
  arena: Arena,
  opened: readonly Opened[],
): Promise<{ readonly streams: readonly number[]; readonly records: readonly number[] }> {
  const wanted = new Set<StreamId>(opened.map(({ id }) => playthroughStream(id)));
  const log = await arena.log.open();
  try {
    const streams: number[] = [];
    const records: number[] = [];
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const seen = new Set<StreamId>();
      let count = 0;
      for await (const batch of log.read(partition, 0, { upTo: await log.end(partition) })) {
        for (const { value } of batch.records) {
          const decoded = decodeRecord(value);
          if (decoded.kind !== 'record' || !wanted.has(decoded.record.stream)) continue;
          seen.add(decoded.record.stream);
          count++;
        }
      }
      streams.push(seen.size);
      records.push(count);
    }
    return { streams, records };
  } finally {
    await log.close();
  }
}

/** One playthrough, and the others on its partition: the partition that has most. */
function ofOnePartition(opened: readonly Opened[]): readonly [Opened, readonly Opened[]] {
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) =>
    opened.filter(({ id }) => partitionOf(playthroughStream(id), PARTITIONS) === partition),
  );
  const [hot, ...others] = partitions.toSorted((a, b) => b.length - a.length)[0] ?? [];
  if (hot === undefined || others.length < 5) throw new Error('too few playthroughs on one partition');
  return [hot, others];
}

function wordOf(saw: Saw): string {
  return saw.kind === 'accepted' ? 'accepted' : saw.code;
}

function countsOf(all: readonly Saw[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const saw of all) counts.set(wordOf(saw), (counts.get(wordOf(saw)) ?? 0) + 1);
  return counts;
}

/** `fabula_busy_stream_commands` by stream. */
async function busy(url: string): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.matchAll(/^fabula_busy_stream_commands\{[^}]*stream="([^"]+)"[^}]*\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, stream = '', value]) => [stream, Number(value)]));
}

async function publish(arena: Arena, story: typeof chaosStory): Promise<void> {
  const author = await arena.api(['author']);
  const imported = await author.rest('POST', '/admin/stories?format=json', exportStory(story, 'json'));
  expect(imported.status).toBe(201);
  const { versionHash } = imported.body as { versionHash: string };
  await until(
    'the story to be published',
    async () => (await author.rest('POST', `/admin/stories/${story.id}/versions/${versionHash}/publish`)).status < 300,
  );
  await until('the story to be seen', async () => {
    const reader = await arena.api(['reader']);
    return (await reader.data<{ story: object | null }>(`query { story(id: "${story.id}") { id } }`)).story !== null;
  });
}
