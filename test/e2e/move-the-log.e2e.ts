import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { decodeRecord, partitionOf } from '#lib/decision';
import { copyLog, logStream, openEventStoreDbLog, openPostgresLog, type LogCopied } from '#lib/log';
import { systemClock, systemIds, systemTimers } from '#lib/platform';
import { recorded, type Recorded } from '../../apps/cli/src/testing/recorded.js';
import { ApiClient, type Payload } from '../support/api-client.js';
import { startEventStoreDbMock, type EventStoreDbMock } from '../support/eventstoredb-mock.js';
import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../support/kafka.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually } from './expectations.js';
import { publishStory } from './publish-story.js';
import { complaintsOf } from './server-log.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(180_000);

const STORY = 'three-doors';
const LAST_ROOT_NOTE = 'select note from fabula.audit_notes where log_id = $1 and log = -1 order by size desc limit 1';
type Env = Readonly<Record<string, string>>;

interface Copied {
  readonly from: string;
  readonly to: string;
  readonly records: number;
  readonly streams: number;
  readonly headsDigest: string;
  readonly sealedNote: boolean;
  readonly partitions: { readonly from: number; readonly to: number };
  readonly settings: Env;
}

/** What a stream has come to: chain and whole state, without the places that a copy changes. */
interface StreamState {
  readonly stream: string;
  readonly version: string;
  readonly previous: string;
  readonly state: string;
}

/** Servers, one after the other, on one database. The mock stands for EventStoreDB, unless EVENTSTOREDB_URL names a real one. */
class Installation {
  private constructor(
    readonly database: TestDatabase,
    readonly dataDir: string,
    readonly mock: EventStoreDbMock | undefined,
    readonly eventStore: string,
  ) {}
  server: ServerProcess | undefined;

  static async make(): Promise<Installation> {
    const real = process.env['EVENTSTOREDB_URL'];
    const mock = real === undefined ? await startEventStoreDbMock() : undefined;
    return new Installation(await createTestDatabase(), await temporaryDataDir(), mock, real ?? (mock as EventStoreDbMock).url);
  }
  async remove(): Promise<void> {
    await this.stop();
    await this.mock?.stop();
    await this.database.drop();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  env(settings: Env): Record<string, string> {
    return { FABULA_SAMPLE_STORIES: 'off', EVENTSTOREDB_URL: this.eventStore, ...settings };
  }
  async start(settings: Env): Promise<ServerProcess> {
    const { database, dataDir } = this;
    return (this.server = await ServerProcess.start({ databaseUrl: database.url, dataDir, env: this.env(settings) }));
  }
  async stop(): Promise<void> {
    const complaints = this.server === undefined ? [] : complaintsOf(this.server);
    await this.server?.stop();
    this.server = undefined;
    // A broker that has just started has no coordinator yet, and to adopt a log is said aloud.
    expect(complaints.filter((line) => !line.includes('"level":"warn"'))).toEqual([]);
  }
  refusal(settings: Env): Promise<{ readonly code: number | null; readonly output: string }> {
    return ServerProcess.runToEnd({ databaseUrl: this.database.url, dataDir: this.dataDir, env: this.env(settings) });
  }

  async client(role: 'reader' | 'author' | 'operator' | 'compliance'): Promise<ApiClient> {
    const server = this.server as ServerProcess;
    return new ApiClient(server.url, await server.token([role]));
  }
  /** `fabula …`, in the environment of the server. */
  async fabula(line: string, settings: Env = {}): Promise<Recorded> {
    const env = { ...this.env(settings), DATABASE_URL: this.database.url, FABULA_DATA_DIR: this.dataDir };
    return recorded(line.split(' '), { env, live: true });
  }
  async copy(line: string, settings: Env = {}): Promise<Copied> {
    const { code, out, err } = await this.fabula(`log copy ${line} --json`, settings);
    if (code !== 0) throw new Error(`log copy ended with ${code}: ${err}`);
    return JSON.parse(out) as Copied;
  }

  /** Every stream that is played, once the projector has come to the log's end. */
  async states(): Promise<readonly StreamState[]> {
    const operator = await this.client('operator');
    await eventually(async () => {
      const { body } = await operator.rest('GET', '/admin/projections');
      const { partitions } = body as { readonly partitions: readonly { readonly lagRecords: number }[] };
      return partitions.every(({ lagRecords }) => lagRecords === 0) ? true : undefined;
    }, 'the projector is at the end of the log');
    const { rows: generations } = await this.database.pool.query<{ n: number }>(
      `select n from fabula.projection_generations where state = 'live'`,
    );
    const { rows } = await this.database.pool.query<StreamState>(
      `select stream, version, previous, state from projection_${generations[0]?.n}.stream_heads where stream not like 'log/%' order by stream`,
    );
    return rows;
  }
}

/** Plays some playthroughs in different ways; answers the last command that was sent. */
async function played(installation: Installation, count: number): Promise<{ readonly payload: Payload; readonly commandId: string }> {
  const reader = await installation.client('reader');
  let last: { payload: Payload; commandId: string } | undefined;
  for (let index = 0; index < count; index++) {
    const { playthrough } = await reader.start(STORY);
    await reader.choose(playthrough.id, 'take', 0);
    await reader.choose(playthrough.id, 'gate', 1);
    await reader.rewind(playthrough.id, 1, 2);
    await reader.setCheckpoint(playthrough.id, 'before the gate', 3);
    const commandId = randomUUID();
    last = { payload: await reader.choose(playthrough.id, 'wait', 3, commandId), commandId };
  }
  if (last === undefined) throw new Error('nothing was played');
  return last;
}

describe('A log that moves to EventStoreDB, and there to twice the partitions', () => {
  const first = `one${randomUUID().slice(0, 8)}`;
  const second = `two${randomUUID().slice(0, 8)}`;
  let installation: Installation;
  let before: readonly StreamState[];
  let last: Awaited<ReturnType<typeof played>>;
  let copied: Copied;
  const onPostgres = { FABULA_LOG: 'postgres', FABULA_PARTITIONS: '2' };
  const onFirst = { FABULA_LOG: 'eventstoredb', FABULA_EVENTSTOREDB_PREFIX: first, FABULA_PARTITIONS: '4' };
  const onSecond = { ...onFirst, FABULA_EVENTSTOREDB_PREFIX: second, FABULA_PARTITIONS: '8' };

  beforeAll(async () => {
    installation = await Installation.make();
  });
  afterAll(() => installation.remove());

  test('is not copied while an engine is at work on it', async () => {
    const server = await installation.start(onPostgres);
    await publishStory(await installation.client('author'), threeDoors(STORY));
    last = await played(installation, 8);
    before = await installation.states();
    expect(before.length).toBe(9);
    const { code, err } = await installation.fabula(`log copy --from postgres --to eventstoredb --to-name ${first}`);
    expect([code, err]).toEqual([1, expect.stringContaining('1 engine is at work on the log: stop every server first.')]);
    expect(err).toContain(server.url);
    // The auditor has signed all of it.
    const compliance = await installation.client('compliance');
    await eventually(
      async () => ((await compliance.rest('GET', '/audit/logs/root/checkpoint')).status === 200 ? true : undefined),
      'a root note',
    );
    await installation.stop();
  });

  test('is not taken by a server while its copy is not whole', async () => {
    const from = await openPostgresLog({ pool: installation.database.pool, partitions: 2 });
    const to = await openEventStoreDbLog({ url: installation.eventStore, prefix: first, partitions: 4 });
    const id = await to.id();
    const cut = new AbortController();
    const { rows } = await installation.database.pool.query<{ note: string }>(LAST_ROOT_NOTE, [await from.id()]);
    const onProgress = ({ phase }: { readonly phase: string }): void => {
      if (phase === 'checking') cut.abort(new Error('power cut'));
    };
    const note = rows[0]?.note ?? null;
    const copy = copyLog({ from, to, note, clock: systemClock, timers: systemTimers, ids: systemIds, signal: cut.signal, onProgress });
    await expect(copy).rejects.toThrow('power cut');
    await Promise.all([from.close(), to.close()]);
    const { code, output } = await installation.refusal({ ...onFirst, FABULA_ADOPT_LOG: id });
    expect([code, output]).toEqual([2, expect.stringContaining('is not whole. Run the same `fabula log copy` again')]);
  });

  test('is copied with its last signed note sealed into the first record', async () => {
    copied = await installation.copy(`--from postgres --to eventstoredb --to-name ${first} --to-partitions 4`);
    expect(copied).toMatchObject({ streams: 9, partitions: { from: 2, to: 4 }, sealedNote: true });
    const log = await openEventStoreDbLog({ url: installation.eventStore, prefix: first, partitions: 4 });
    expect(await log.id()).toBe(copied.to);
    for await (const { records } of log.read(partitionOf(logStream(copied.to), 4), 0, { upTo: 1 })) {
      const decoded = decodeRecord(records[0]?.value ?? new Uint8Array());
      if (decoded.kind !== 'record') throw new Error('the first record is no seal');
      const seal = decoded.record.events[0] as unknown as LogCopied;
      expect(seal).toMatchObject({ type: 'LogCopied', from: copied.from });
      const { rows } = await installation.database.pool.query<{ note: string }>(LAST_ROOT_NOTE, [copied.from]);
      expect(seal.note).toBe(rows[0]?.note);
    }
    await log.close();
    // Once more: nothing is left to do, and nothing changes.
    expect(await installation.copy(`--from postgres --to eventstoredb --to-name ${first} --to-partitions 4`)).toMatchObject({
      appended: 0,
      headsDigest: copied.headsDigest,
    });
  });

  test('is refused by the database of the old one until that is said to be meant', async () => {
    const { code, output } = await installation.refusal(onFirst);
    expect(code).toBe(2);
    expect(output).toContain(`FABULA_ADOPT_LOG=${copied.to}`);
  });

  test('leads every stream to the same state, in EventStoreDB, and is played on', async () => {
    await installation.start(copied.settings);
    expect(await installation.states()).toEqual(before);
    const reader = await installation.client('reader');
    // A command from before the move is still known.
    const { playthrough, turn } = last.payload;
    const again = await reader.choose(playthrough.id, 'wait', 3, last.commandId);
    expect(again).toMatchObject({ duplicate: true, turn, playthrough: { stateHash: playthrough.stateHash } });
    expect(await reader.choose(playthrough.id, 'gate', turn)).toMatchObject({ duplicate: false, turn: turn + 1 });
    await played(installation, 2);
    const server = (installation.server as ServerProcess).url;
    expect(await installation.fabula(`audit rebuild --url ${server}`)).toMatchObject({ code: 0 });
    expect(await installation.fabula(`audit verify --store --url ${server}`)).toMatchObject({ code: 0 });
    before = await installation.states();
    expect(before.length).toBe(11);
    await installation.stop();
    // From then on it is the database's log, and needs no adopting.
    await installation.start(onFirst);
    expect(await installation.states()).toEqual(before);
    await installation.stop();
  });

  test('grows to twice the partitions with equal state hashes', async () => {
    const grown = await installation.copy(
      `--from eventstoredb --from-name ${first} --to eventstoredb --to-name ${second} --to-partitions 8`,
    );
    // The seal of the first move is history now, like any other stream.
    expect(grown).toMatchObject({ from: copied.to, streams: 12, partitions: { from: 4, to: 8 } });
    expect((await installation.refusal(onSecond)).output).toContain(`FABULA_ADOPT_LOG=${grown.to}`);
    await installation.start({ ...grown.settings });
    expect(await installation.states()).toEqual(before);
    await installation.stop();
  });

  test('is refused once it was put back to an older state: what was folded is gone from it', async () => {
    const { mock } = installation;
    if (mock === undefined) return;
    const busiest = Array.from({ length: 8 }, (_, partition) => `${second}-decisions-${partition}`).toSorted(
      (left, right) => end(mock, right) - end(mock, left),
    );
    mock.streams.cutTo(busiest[0] ?? '', 1);
    const { code, output } = await installation.refusal(onSecond);
    expect([code, output]).toEqual([2, expect.stringMatching(/records are gone[\s\S]*FABULA_ADOPT_LOG=/)]);
  });
});

const end = (mock: EventStoreDbMock, stream: string): number => {
  const state = mock.streams.state(stream);
  return state.kind === 'there' ? state.end : 0;
};

describeWithKafka('A log that moves from Postgres to Kafka, and there to twice the partitions', () => {
  let installation: Installation;
  beforeAll(async () => {
    installation = await Installation.make();
  });
  afterAll(() => installation.remove());

  test('leads every stream to the same state after each move', async () => {
    const [first, second] = [uniqueTopic('moved'), uniqueTopic('grown')];
    const kafka = {
      KAFKA_BROKERS: (await kafkaBrokers(1)).join(),
      FABULA_KAFKA_ALLOW_UNSAFE: 'on',
      FABULA_ROLES: 'api,engine,projector,auditor,signer',
    };
    await installation.start({ FABULA_PARTITIONS: '2' });
    await publishStory(await installation.client('author'), threeDoors(STORY));
    await played(installation, 6);
    const before = await installation.states();
    await installation.stop();
    const moved = await installation.copy(`--from postgres --to kafka --to-name ${first} --to-partitions 3`, kafka);
    await installation.start({ ...kafka, ...moved.settings });
    expect(await installation.states()).toEqual(before);
    await played(installation, 2);
    const later = await installation.states();
    const refused = await installation.fabula(
      `log copy --from kafka --from-name ${first} --to kafka --to-name ${second} --to-partitions 6`,
      kafka,
    );
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('1 engine is at work')]);
    await installation.stop();
    const grown = await installation.copy(`--from kafka --from-name ${first} --to kafka --to-name ${second} --to-partitions 6`, kafka);
    expect(grown.partitions).toEqual({ from: 3, to: 6 });
    await installation.start({ ...kafka, ...grown.settings });
    expect(await installation.states()).toEqual(later);
    await installation.stop();
  });
});
