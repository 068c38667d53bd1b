import { createHash, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import {
  admit,
  decodeRecord,
  EMPTY_HEAD,
  encodeRecord,
  partitionOf,
  type DecisionRecord,
  type RecordedEvent,
  type StreamHead,
} from '#lib/decision';
import { playthrough as decider, stateHash, type PlaythroughEvent } from '#lib/playthrough';
import { ApiClient, type Payload, type Refused } from '../support/api-client.js';
import { kafkaMissing } from '../support/kafka.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { describeWith } from '../support/requirement.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually, refused } from './expectations.js';
import { publishStory } from './publish-story.js';
import { PARTITIONS, rawKafka, rawPostgres, type RawLog, type RawLogKind } from './raw-log.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(120_000);

const STORY = 'three-doors';
const MEGABYTE = 1_000_000;

interface Letter {
  readonly partition: number;
  readonly offset: number;
  readonly kind: string;
  readonly status: string;
  readonly stream: string | null;
  readonly reason: string;
  readonly size: number;
  readonly attempts: number;
  readonly release: { readonly reason: string; readonly by: string } | null;
}
interface Place {
  readonly partition: number;
  readonly offset: number;
}

describe('on Postgres', () => whatNoFabulaWrote(rawPostgres));
describeWith('kafka', kafkaMissing === undefined, kafkaMissing ?? '', 'on Kafka', () => whatNoFabulaWrote(rawKafka));

/** Row 8 of the Kafka issue's table: every kind of record that something else can put into the log. */
function whatNoFabulaWrote(kindOf: () => Promise<RawLogKind>): void {
  describe('a record that no Fabula of this version wrote', () => {
    let kind: RawLogKind;
    let database: TestDatabase;
    let server: ServerProcess;
    let dataDir: string;
    let raw: RawLog;
    let reader: ApiClient;
    let operator: ApiClient;
    let compliance: ApiClient;
    /** A playthrough in each partition, started before anything went wrong. */
    const plays = new Map<number, Payload>();

    const start = async (): Promise<void> => {
      server = await ServerProcess.start({ databaseUrl: database.url, dataDir, env: kind.env });
      reader = new ApiClient(server.url, await server.token(['reader']));
      operator = new ApiClient(server.url, await server.token(['operator']));
      compliance = new ApiClient(server.url, await server.token(['compliance']));
    };
    const startIn = async (partition: number): Promise<Payload> => {
      for (;;) {
        const started = await reader.start(STORY);
        if (partitionOf(`playthrough/${started.playthrough.id}`, PARTITIONS) === partition) return started;
      }
    };

    beforeAll(async () => {
      kind = await kindOf();
      database = await createTestDatabase();
      dataDir = await temporaryDataDir();
      await start();
      raw = await kind.open(database);
      await publishStory(new ApiClient(server.url, await server.token(['author'])), threeDoors(STORY));
      for (let partition = 0; partition < PARTITIONS; partition++) plays.set(partition, await startIn(partition));
    });
    afterAll(async () => {
      await raw?.close();
      await server?.stop();
      await database?.drop();
      await rm(dataDir, { recursive: true, force: true });
    });

    const streamIn = (type: string, partition: number): string => {
      for (;;) {
        const stream = `${type}/${randomUUID()}`;
        if (partitionOf(stream, PARTITIONS) === partition) return stream;
      }
    };
    const recordOf = (stream: string, { version, previous }: StreamHead, event: RecordedEvent): DecisionRecord => ({
      v: 1,
      stream,
      expectedVersion: version,
      previous,
      commandId: `c:${randomUUID()}`,
      commandDigest: '0'.repeat(64),
      eventCount: 1,
      correlationId: randomUUID(),
      causationId: null,
      actor: { id: 'not-fabula', role: 'system' },
      at: Date.now(),
      events: [event],
    });
    const headOf = async (stream: string): Promise<StreamHead> => {
      const partition = partitionOf(stream, PARTITIONS);
      let head = EMPTY_HEAD;
      for await (const { records } of raw.log.read(partition, 0, { upTo: await raw.log.end(partition) })) {
        for (const { value, offset } of records) {
          const decoded = decodeRecord(value);
          if (decoded.kind === 'record' && decoded.record.stream === stream)
            ({ head } = admit(head, decoded.record, decoded.digest, offset));
        }
      }
      return head;
    };
    const put = async (partition: number, key: string, value: Uint8Array, headers?: Record<string, string>): Promise<Place> => ({
      partition,
      offset: await raw.append(partition, { key, value, ...(headers && { headers }) }),
    });

    const list = async (query = ''): Promise<readonly Letter[]> => {
      const { body, status } = await operator.rest('GET', `/admin/dead-letters?first=100${query}`);
      expect(status).toBe(200);
      return (body as { edges: { node: Letter }[] }).edges.map(({ node }) => node);
    };
    const letterAt = async ({ partition, offset }: Place): Promise<Letter | undefined> =>
      (await list()).find((letter) => letter.partition === partition && letter.offset === offset);
    const kept = (place: Place): Promise<Letter> =>
      eventually(() => letterAt(place), `the record at ${place.partition}/${place.offset} is kept`);
    const pathOf = ({ partition, offset }: Place): string => `/admin/dead-letters/${partition}/${offset}`;
    const retry = (place: Place): ReturnType<ApiClient['rest']> => operator.rest('POST', `${pathOf(place)}/retry`);
    const release = (place: Place, reason = 'a test put it there'): ReturnType<ApiClient['rest']> =>
      operator.rest('POST', `${pathOf(place)}/release`, { reason });
    const metric = async (name: string): Promise<number> => {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      const line = text.split('\n').find((one) => one.startsWith(`${name} `));
      return Number(line?.slice(name.length + 1) ?? 0);
    };
    const ready = async (): Promise<boolean> => (await fetch(`${server.url}/health/ready`)).status === 200;
    const playsOn = async (partition: number): Promise<void> => {
      const { playthrough } = plays.get(partition) as Payload;
      const turn = (await reader.playthrough(playthrough.id))?.turn ?? 0;
      const chosen = await reader.choose(playthrough.id, 'wait', turn);
      expect(await reader.playthrough(playthrough.id, [chosen.position])).toMatchObject({ turn: turn + 1 });
    };

    test('is kept with its reason and bytes when it is garbage or far too large, and nobody else notices', async () => {
      const alarms = await metric('fabula_alarms_total');
      const garbage = Buffer.from([0x00, 0xff, 0x7b, 0x22]);
      const huge = Buffer.from(JSON.stringify({ v: 1, padding: 'x'.repeat(MEGABYTE) }).slice(0, MEGABYTE));
      const misplaced = encodeRecord(recordOf(streamIn('playthrough', 0), EMPTY_HEAD, { type: 'ChoiceMade', v: 1 }));
      const places = [
        await put(1, 'no\tstream', garbage, { 'x-note': 'not\nours' }),
        await put(1, 'playthrough/huge', huge),
        await put(1, 'playthrough/elsewhere', misplaced),
      ];
      const [one, large, elsewhere] = await Promise.all(places.map(kept));
      expect([one?.kind, large?.kind, elsewhere?.kind]).toEqual(['invalid', 'invalid', 'invalid']);
      expect(large).toMatchObject({
        size: MEGABYTE,
        stream: null,
        status: 'open',
        reason: expect.stringContaining('1000000 bytes') as string,
      });
      expect(elsewhere?.reason).toBe('the stream belongs to partition 0');
      await playsOn(1);
      expect(await ready()).toBe(true);
      expect(await metric('fabula_alarms_total')).toBeGreaterThan(alarms);
      expect(await metric('fabula_dead_letters_total{kind="invalid"}')).toBe(3);

      const digest = createHash('sha256').update(garbage).digest('hex');
      const withheld = (await operator.rest('GET', pathOf(places[0] as Place))).body;
      expect(withheld).toMatchObject({ withheld: true, bytes: null, headers: null, decoded: null, size: 4, digest });
      const glass = await operator.rest('POST', '/admin/compliance/break-glass', { reason: 'a test looks inside', minutes: 5 });
      expect(glass.status).toBe(201);
      const shown = (await operator.rest('GET', pathOf(places[0] as Place))).body as { bytes: string; complete: boolean; decoded: unknown };
      expect(shown).toMatchObject({ bytes: garbage.toString('base64'), complete: true, decoded: null });
      const beginning = (await operator.rest('GET', pathOf(places[1] as Place))).body as { bytes: string; complete: boolean };
      expect(beginning.complete).toBe(false);
      expect(huge.subarray(0, 16 * 1024).equals(Buffer.from(beginning.bytes, 'base64'))).toBe(true);
      const whole = (await operator.rest('GET', pathOf(places[2] as Place))).body as { decoded: unknown; bytes: string };
      expect(whole.decoded).toEqual(JSON.parse(Buffer.from(misplaced).toString()));
    });

    test('is acknowledged by an operator, for a reason, once', async () => {
      const [place] = await list('&kind=invalid&status=open&partition=1');
      expect(place).toBeDefined();
      const asked = await retry(place as Letter);
      expect([asked.status, (asked.body as { detail: string }).detail]).toEqual([409, expect.stringContaining('stays invalid')]);
      expect(await letterAt(place as Letter)).toMatchObject({ attempts: 1, status: 'open' });
      for (const reason of ['', 'no', ' x ', 'x'.repeat(501)]) expect((await release(place as Letter, reason)).status).toBe(400);
      expect((await reader.rest('POST', `${pathOf(place as Letter)}/release`, { reason: 'because' })).status).toBe(403);
      const open = (await list('&kind=invalid&status=open')).length;
      const released = await release(place as Letter);
      expect([released.status, released.body]).toEqual([200, expect.objectContaining({ status: 'released' })]);
      expect(await letterAt(place as Letter)).toMatchObject({
        status: 'released',
        release: { reason: 'a test put it there', by: expect.stringMatching(/^\S{8,}$/) as string },
      });
      expect((await release(place as Letter)).status).toBe(409);
      expect((await list('&kind=invalid&status=open')).length).toBe(open - 1);
      expect((await release({ partition: 1, offset: 999_999 })).status).toBe(404);
      await eventually(
        async () => ((await metric('fabula_dead_letters{kind="invalid",status="open"}')) === open - 1 ? true : undefined),
        'the metric follows',
      );
    });

    test('parks its own stream and no other when its event or its kind of stream is unknown', async () => {
      const victim = await startIn(2);
      const id = victim.playthrough.id;
      const stream = `playthrough/${id}`;
      await reader.playthrough(id, [victim.position]);
      const event = { type: 'ChoiceMade', v: 99, turn: 1 };
      const future = await put(2, stream, encodeRecord(recordOf(stream, await headOf(stream), event)), { 'x-future': '1' });
      const novel = streamIn('novel', 2);
      const strange = await put(2, novel, encodeRecord(recordOf(novel, EMPTY_HEAD, { type: 'ChapterWritten', v: 1 })));
      expect(await kept(future)).toMatchObject({
        kind: 'unknown-event',
        stream,
        reason: expect.stringContaining('ChoiceMade v99') as string,
      });
      expect(await kept(strange)).toMatchObject({ kind: 'unknown-stream', stream: novel });
      expect((await refused(reader.choose(id, 'wait', 0))).code).toBe('PLAYTHROUGH_PARKED');
      await playsOn(2);
      expect(await ready()).toBe(true);
      expect(await metric('fabula_drift_total{what="unknown_version",type="ChoiceMade"}')).toBe(1);
      expect(await metric('fabula_drift_total{what="unknown_type",type="other"}')).toBe(1);
      expect(await metric('fabula_drift_total{what="unknown_header",type="record"}')).toBe(1);

      const again = await retry(future);
      expect([again.status, (again.body as { detail: string }).detail]).toEqual([409, expect.stringContaining('still parked')]);
      expect(await letterAt(future)).toMatchObject({ attempts: 1, status: 'open' });
      // Answered for, but not undone: the record is in an accepted chain.
      expect((await release(future)).status).toBe(200);
      expect(await letterAt(future)).toMatchObject({ status: 'released' });
      expect((await refused(reader.choose(id, 'wait', 0))).code).toBe('PLAYTHROUGH_PARKED');
      expect((await retry(future)).status).toBe(409);
    });

    test('for a story that nobody published cannot be played, moves the alarm, and disturbs nobody', async () => {
      const alarms = await metric('fabula_alarms_total');
      const [template] = await startsOf(3);
      const stream = streamIn('playthrough', 3);
      const id = stream.slice('playthrough/'.length);
      const unknown = {
        ...(template as RecordedEvent),
        playthroughId: id,
        storyId: 'nobody-wrote-it',
        versionHash: 'e'.repeat(64),
        stateHash: '',
      };
      const state = decider.evolve(null, unknown as unknown as PlaythroughEvent);
      const event = { ...unknown, stateHash: state === null ? '' : stateHash(state) };
      const place = await put(3, stream, encodeRecord(recordOf(stream, EMPTY_HEAD, event as RecordedEvent)));
      await eventually(async () => ((await positionOf(3)) > place.offset ? true : undefined), 'the projector has passed it');
      await eventually(async () => ((await metric('fabula_missing_contents')) > 0 ? true : undefined), 'its missing content is noticed');
      expect(await metric('fabula_alarms_total')).toBeGreaterThan(alarms);
      expect((await refused(reader.choose(id, 'wait', 0))).code).toMatch(/^(VERSION_NOT_FOUND|PLAYTHROUGH_NOT_FOUND|PLAYTHROUGH_PARKED)$/);
      await playsOn(3);
      expect(await ready()).toBe(true);
    });
    const startsOf = async (partition: number): Promise<readonly RecordedEvent[]> => {
      const found: RecordedEvent[] = [];
      for await (const { records } of raw.log.read(partition, 0, { upTo: await raw.log.end(partition) })) {
        for (const { value } of records) {
          const decoded = decodeRecord(value);
          if (decoded.kind === 'record') found.push(...decoded.record.events.filter(({ type }) => type === 'PlaythroughStarted'));
        }
      }
      return found;
    };
    const positionOf = async (partition: number): Promise<number> => {
      const { body } = await operator.rest('GET', '/admin/projections');
      return (body as { partitions: { partition: number; nextOffset: number }[] }).partitions[partition]?.nextOffset ?? 0;
    };

    describe('of a future envelope version', () => {
      let future: Place;
      const stuck = randomUUID();

      test('stops its partition, and only that, until somebody decides', async () => {
        const alarms = await metric('fabula_alarms_total');
        future = await put(0, 'playthrough/future', Buffer.from(JSON.stringify({ v: 2, novelty: true })));
        expect(await kept(future)).toMatchObject({
          kind: 'unknown-envelope',
          status: 'open',
          reason: expect.stringContaining('version 2') as string,
        });
        expect(await metric('fabula_alarms_total')).toBeGreaterThan(alarms);
        await eventually(async () => ((await ready()) ? undefined : true), 'the process is not ready');
        const { id } = (plays.get(0) as Payload).playthrough;
        const failure: Refused = await refused(reader.choose(id, 'wait', 0, stuck));
        expect(failure.extensions['retryable']).toBe(true);
        expect(['LOG_UNAVAILABLE', 'OUTCOME_UNKNOWN']).toContain(failure.code);
        expect((await refused(reader.choose(id, 'wait', 0, stuck))).code).toBe('LOG_UNAVAILABLE');
        for (const partition of [1, 2, 3]) await playsOn(partition);
        const again = await retry(future);
        expect([again.status, (again.body as { detail: string }).detail]).toEqual([409, expect.stringContaining('still unknown')]);
        await eventually(async () => ((await stoppedAuditors()).includes(0) ? true : undefined), 'the auditor says so');
      });
      const stoppedAuditors = async (): Promise<readonly number[]> => {
        const { body } = await compliance.rest('GET', '/audit/logs');
        const { auditors } = body as { auditors: { partition: number; state: string }[] };
        return auditors.filter(({ state }) => state === 'stopped').map(({ partition }) => partition);
      };

      test('is invalid for every reader once it is released, and all go on without a restart', async () => {
        expect((await release(future, 'a rolled-back trial of version 2')).status).toBe(200);
        await eventually(async () => ((await ready()) ? true : undefined), 'the process is ready again');
        const { id } = (plays.get(0) as Payload).playthrough;
        // What was tried while it stood: the same command, taking effect once.
        const chosen = await eventually(async () => {
          try {
            return await reader.choose(id, 'wait', 0, stuck);
          } catch {
            // The writer recovers within its next look.
            return undefined;
          }
        }, 'the partition takes commands');
        expect(chosen.turn).toBe(1);
        expect(await reader.playthrough(id, [chosen.position])).toMatchObject({ turn: 1 });
        await playsOn(0);
        const leaf = await eventually(async () => {
          const { text, status } = await compliance.rest('GET', `/audit/logs/p0/entries?from=${future.offset}&to=${future.offset + 1}`);
          return status === 200 && text !== '' ? (JSON.parse(text) as object) : undefined;
        }, 'the auditor went on');
        expect(leaf).toMatchObject({ verdict: 'invalid', reason: 'released', offset: String(future.offset) });
        expect(await letterAt(future)).toMatchObject({ status: 'released', kind: 'unknown-envelope' });
      });

      test('is the same for another process, for rebuilds of everything, and for a verification of the store', async () => {
        const before = await list();
        await server.stop();
        await start();
        await eventually(async () => ((await ready()) ? true : undefined), 'the next process is ready');
        await playsOn(0);
        expect((await operator.rest('POST', '/admin/projections/rebuild')).status).toBe(202);
        const rebuilt = await eventually(async () => {
          const { rebuild } = (await operator.rest('GET', '/admin/projections')).body as {
            rebuild: { state: string; error?: string; report?: object };
          };
          return rebuild.state === 'running' ? undefined : rebuild;
        }, 'the rebuild ended');
        expect(rebuilt).toMatchObject({ state: 'done', report: { parity: { kind: 'equal' } } });
        expect((await operator.rest('POST', '/audit/store/rebuild')).status).toBe(202);
        await ended('/audit/store/rebuild', operator);
        expect((await compliance.rest('POST', '/audit/store/verification')).status).toBe(202);
        expect((await ended('/audit/store/verification', compliance)).report).toMatchObject({ ok: true, findingsTotal: 0 });
        const after = await list();
        expect(after).toEqual(before);
      });
      const ended = async (path: string, client: ApiClient): Promise<{ state: string; report: object }> => {
        const work = await eventually(async () => {
          const { body } = await client.rest('GET', path);
          return (body as { state: string }).state === 'running' ? undefined : (body as { state: string; report: object });
        }, `${path} ended`);
        expect(work.state).toBe('done');
        return work;
      };
    });
  });
}
