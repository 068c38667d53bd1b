import { createMemoryLog, type EventLog } from '#lib/log';
import { playthrough, stateFromJson, stateHash, type PlaythroughEvent, type PlaythroughState } from '#lib/playthrough';
import { foldLog } from '../fold-log.js';
import type { ColdReads, ProjectionStore } from '../projection-store.js';
import { Fenced } from '../partition-projector.js';
import { Projector } from '../projector.js';
import { STREAM_KINDS, type StreamKinds } from '../stream-kinds.js';
import { appendCheckpoint, appendPoison, MENDED } from './poison.js';
import { readModelDigest, type DigestSource } from '../read-model-digest.js';
import { randomFrom, writeRandomHistory } from './random-history.js';
import { readAll } from './read-all.js';

export interface ProjectionUnderTest {
  readonly store: ProjectionStore & DigestSource;
  readonly cold: ColdReads;
}

export const testTimers = {
  after(ms: number, callback: () => void): () => void {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/** A projector that has folded everything, in batches of a random size, with a cache too small for all streams. */
export async function projected(
  log: EventLog,
  store: ProjectionStore,
  seed: number,
  kinds: StreamKinds = STREAM_KINDS,
): Promise<Projector> {
  const random = randomFrom(seed + 1);
  const options = { log, store, kinds, timers: testTimers, maxRecords: 1 + random(60), cacheBytes: random(3) === 0 ? 0 : random(60_000) };
  const projector = await Projector.open(options);
  for (let partition = 0; partition < log.partitions; partition++) await projector.catchUp(partition);
  return projector;
}

/** The suite that every store of read models passes. */
export function projectionContract(name: string, create: () => Promise<ProjectionUnderTest>, runs: number): void {
  describe(`${name} as a store of read models`, () => {
    it('holds what a fold of the log from 0 comes to, for random histories with duplicates, conflicts, reused ids and garbage', async () => {
      for (let seed = 1; seed <= runs; seed++) {
        const log = createMemoryLog({ partitions: 3, clock: { now: () => 1_000 + seed } });
        const truth = await writeRandomHistory(log, { seed, partitions: 3, playthroughs: 6, records: 250 });
        const { store } = await create();
        await projected(log, store, seed);
        const oracle = await foldLog(await log.id(), await readAll(log));
        expect(await readModelDigest(store)).toEqual(await readModelDigest(oracle));
        expect(oracle.rows('streams').size).toBe(truth.states.size);
        for (const [stream, state] of truth.states) {
          expect(stateFromJson(oracle.rows('streams').get(stream)?.state ?? '')).toEqual(state);
        }
      }
    });

    it('answers cold loads with the head, the window and the state the writer knows', async () => {
      const log = createMemoryLog({ partitions: 2, clock: { now: () => 5 } });
      const truth = await writeRandomHistory(log, { seed: 77, partitions: 2, playthroughs: 4, records: 500 });
      const { store, cold } = await create();
      await projected(log, store, 5);
      for (let partition = 0; partition < 2; partition++) {
        const loaded = await cold.load(partition, [...truth.states.keys(), 'playthrough/unheard-of']);
        expect(loaded.position).toBe(await log.end(partition));
        expect(await cold.position(partition)).toBe(loaded.position);
        for (const [stream, row] of loaded.streams) {
          expect(stateFromJson(row.state)).toEqual(truth.states.get(stream));
          expect(row.head.version).toBe(truth.versions.get(stream));
          expect(row.head.window).toHaveLength(64);
          expect(row.head.window.at(-1)?.version).toBe(row.head.version);
          const versions = row.head.window.map((command) => command.version);
          expect(versions).toEqual([...versions].sort((a, b) => a - b));
        }
      }
      expect((await cold.load(0, [...truth.states.keys()])).streams.size).toBeGreaterThan(0);
    });

    it('gives back every past turn so that folding it meets its recorded hash, also across snapshots', async () => {
      const log = createMemoryLog({ partitions: 1, clock: { now: () => 5 } });
      await writeRandomHistory(log, { seed: 3, partitions: 1, playthroughs: 2, records: 200, mischief: 0 });
      const { store, cold } = await create();
      await projected(log, store, 9);
      const oracle = await foldLog(await log.id(), await readAll(log));
      let snapshots = 0;
      for (const turn of oracle.rows('turns').values()) {
        const past = await cold.past(`playthrough/${turn.playthroughId}`, turn.turn);
        let state: PlaythroughState | null = stateFromJson(past?.snapshot ?? '');
        for (const event of past?.events ?? []) state = playthrough.evolve(state, event as unknown as PlaythroughEvent);
        expect(state === null ? null : stateHash(state)).toBe(past?.stateHash);
        expect(state?.turn).toBe(turn.turn);
        expect(past?.events.length ?? 0).toBeLessThan(100);
        if (turn.snapshot !== null) snapshots++;
      }
      expect(snapshots).toBeGreaterThan(4);
      const [some] = oracle.rows('playthroughs').values();
      expect(await cold.past(`playthrough/${some?.id}`, 10_000)).toBeUndefined();
      expect(await cold.past('playthrough/unheard-of', 0)).toBeUndefined();
    });

    it('remembers every accepted command, however long ago', async () => {
      const log = createMemoryLog({ partitions: 1, clock: { now: () => 5 } });
      await writeRandomHistory(log, { seed: 4, partitions: 1, playthroughs: 1, records: 200 });
      const { store, cold } = await create();
      await projected(log, store, 2);
      const oracle = await foldLog(await log.id(), await readAll(log));
      const commands = [...oracle.rows('commands').values()];
      expect(commands.length).toBeGreaterThan(64);
      for (const { stream, commandId, commandDigest, version, offset } of commands) {
        expect(await cold.accepted(stream, commandId)).toEqual({ commandId, commandDigest, version, offset });
      }
      expect(await cold.accepted(commands[0]?.stream ?? '', 'c:never')).toBeUndefined();
    });

    it('lists overdue playthroughs of one partition, oldest first', async () => {
      const log = createMemoryLog({ partitions: 2, clock: { now: () => 5 } });
      await writeRandomHistory(log, { seed: 6, partitions: 2, playthroughs: 40, records: 400 });
      const { store, cold } = await create();
      await projected(log, store, 2);
      const oracle = await foldLog(await log.id(), await readAll(log));
      const due = [...oracle.rows('playthroughs').values()].filter((row) => row.partition === 1 && row.deadline !== null);
      const sorted = due.sort((a, b) => (a.deadline ?? 0) - (b.deadline ?? 0));
      expect(sorted.length).toBeGreaterThan(2);
      const all = await cold.overdue(1, Number.MAX_SAFE_INTEGER, 100);
      expect(all).toEqual(sorted.map((row) => ({ stream: `playthrough/${row.id}`, turn: row.turn })));
      expect(await cold.overdue(1, sorted[1]?.deadline ?? 0, 100)).toEqual(all.slice(0, 1));
      expect(await cold.overdue(1, Number.MAX_SAFE_INTEGER, 2)).toEqual(all.slice(0, 2));
    });

    it('lets one of two projectors write and the other nothing', async () => {
      const log = createMemoryLog({ partitions: 1, clock: { now: () => 5 } });
      await writeRandomHistory(log, { seed: 8, partitions: 1, playthroughs: 3, records: 100 });
      const { store } = await create();
      const zombie: ProjectionStore = {
        open: (logId, partitions) => store.open(logId, partitions),
        readPosition: (partition) => store.readPosition(partition),
        loadStreams: (partition, streams) => store.loadStreams(partition, streams),
        keepDeadLetter: (logId, letter) => store.keepDeadLetter(logId, letter),
        // Paused between reading and writing, long enough for another projector to do all the work.
        retryParked: (stream) => store.retryParked(stream),
        commit: async (changes) => {
          await projected(log, store, 1);
          return store.commit(changes);
        },
      };
      const late = await Projector.open({ log, store: zombie, timers: testTimers, maxRecords: 10 });
      await expect(late.catchUp(0)).rejects.toThrow(/no longer at 0/);
      const oracle = await foldLog(await log.id(), await readAll(log));
      expect(await readModelDigest(store)).toEqual(await readModelDigest(oracle));
    });

    it('parks a stream that it cannot fold and nothing else, retains what follows, and applies all of it once mended', async () => {
      const log = createMemoryLog({ partitions: 1, clock: { now: () => 5 } });
      await writeRandomHistory(log, { seed: 21, partitions: 1, playthroughs: 5, records: 120, mischief: 0 });
      const poisoned = await appendPoison(log);
      await writeRandomHistory(log, { seed: 22, partitions: 1, playthroughs: 5, records: 50 });
      const { store, cold } = await create();
      const parked: string[] = [];
      const options = { log, store, timers: testTimers, maxRecords: 7, onParked: ({ stream }: { stream: string }) => parked.push(stream) };
      await (await Projector.open(options)).catchUp(0);
      expect(parked).toEqual([poisoned.stream]);
      expect(await readModelDigest(store)).toEqual(await readModelDigest(await foldLog(await log.id(), await readAll(log))));
      const before = (await cold.load(0, [poisoned.stream])).streams.get(poisoned.stream);
      expect(before).toMatchObject({
        parked: expect.stringMatching(/PassageNarrated v1 is not known/),
        head: { version: poisoned.version },
      });

      expect(await store.retryParked(poisoned.stream)).toMatchObject({ kind: 'still-parked', offset: poisoned.offset });
      expect((await cold.load(0, [poisoned.stream])).streams.get(poisoned.stream)).toEqual(before);

      // A projector that remembers the stream as parked works on while the operator takes it up again.
      const running = await projected(log, store, 4, MENDED);
      expect(await store.retryParked(poisoned.stream, MENDED)).toEqual({ kind: 'applied', records: 3 });
      expect(await store.retryParked(poisoned.stream, MENDED)).toEqual({ kind: 'not-parked' });
      await appendCheckpoint(log, poisoned.stream);
      await running.catchUp(0);
      const after = (await cold.load(0, [poisoned.stream])).streams.get(poisoned.stream);
      expect(after).toMatchObject({ parked: null, head: { version: poisoned.version + 1 } });
      const mended = await foldLog(await log.id(), await readAll(log), MENDED);
      expect(await readModelDigest(store)).toEqual(await readModelDigest(mended));
    });

    it('voids what a projector remembers of a stream that was taken up again between its reading and its writing', async () => {
      const log = createMemoryLog({ partitions: 1, clock: { now: () => 5 } });
      await writeRandomHistory(log, { seed: 23, partitions: 1, playthroughs: 3, records: 40, mischief: 0 });
      const { stream } = await appendPoison(log);
      const { store } = await create();
      await projected(log, store, 1);
      let retried = false;
      const slow: ProjectionStore = {
        open: (logId, partitions) => store.open(logId, partitions),
        readPosition: (partition) => store.readPosition(partition),
        loadStreams: (partition, streams) => store.loadStreams(partition, streams),
        keepDeadLetter: (logId, letter) => store.keepDeadLetter(logId, letter),
        retryParked: (parked) => store.retryParked(parked),
        commit: async (changes) => {
          if (!retried) expect(await store.retryParked(stream, MENDED)).toMatchObject({ kind: 'applied' });
          retried = true;
          return store.commit(changes);
        },
      };
      await appendCheckpoint(log, stream);
      const projector = await Projector.open({ log, store: slow, timers: testTimers, kinds: MENDED });
      await expect(projector.catchUp(0)).rejects.toBeInstanceOf(Fenced);
      await projector.catchUp(0);
      const mended = await foldLog(await log.id(), await readAll(log), MENDED);
      expect(await readModelDigest(store)).toEqual(await readModelDigest(mended));
    });

    it('stops a partition before a record of a newer Fabula, and says so', async () => {
      const log = createMemoryLog({ partitions: 1, clock: { now: () => 5 } });
      await writeRandomHistory(log, { seed: 8, partitions: 1, playthroughs: 3, records: 30 });
      await log.append(0, [{ key: 'x', value: Buffer.from('{"v":2}') }]);
      await writeRandomHistory(log, { seed: 9, partitions: 1, playthroughs: 3, records: 30 });
      const { store, cold } = await create();
      const errors: unknown[] = [];
      const projector = await Projector.open({ log, store, timers: testTimers, onError: (error) => errors.push(error) });
      await projector.catchUp(0);
      expect(await cold.position(0)).toBe(30);
      expect(projector.status()[0]).toMatchObject({
        state: 'halted',
        nextOffset: 30,
        error: expect.stringMatching(/at 30 has envelope version 2/),
      });
      expect(errors).toHaveLength(1);
    });

    it('folds the next batch on what is not committed yet, even when nothing may stay in the cache', async () => {
      const log = createMemoryLog({ partitions: 1, clock: { now: () => 5 } });
      await writeRandomHistory(log, { seed: 61, partitions: 1, playthroughs: 2, records: 80 });
      const { store } = await create();
      let commits = 0;
      const slow: ProjectionStore = {
        open: (logId, partitions) => store.open(logId, partitions),
        readPosition: (partition) => store.readPosition(partition),
        loadStreams: (partition, streams) => store.loadStreams(partition, streams),
        keepDeadLetter: (logId, letter) => store.keepDeadLetter(logId, letter),
        retryParked: (stream) => store.retryParked(stream),
        // Long enough for the next batch to be read and folded.
        commit: async (changes) => {
          commits++;
          for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
          return store.commit(changes);
        },
      };
      const projector = await Projector.open({ log, store: slow, timers: testTimers, maxRecords: 4, cacheBytes: 0 });
      await projector.catchUp(0);
      expect(commits).toBe(20);
      expect(await readModelDigest(store)).toEqual(await readModelDigest(await foldLog(await log.id(), await readAll(log))));
    });

    it('refuses positions of another log and positions beyond the end, naming the command that mends it', async () => {
      const { store } = await create();
      const log = createMemoryLog({ partitions: 1, clock: { now: () => 5 }, id: 'the-log' });
      await writeRandomHistory(log, { seed: 8, partitions: 1, playthroughs: 3, records: 20 });
      await projected(log, store, 1);
      const other = createMemoryLog({ partitions: 1, clock: { now: () => 5 }, id: 'another' });
      await expect(Projector.open({ log: other, store, timers: testTimers })).rejects.toMatchObject({ code: 'ANOTHER_LOG' });
      const cut = createMemoryLog({ partitions: 1, clock: { now: () => 5 }, id: 'the-log' });
      await expect(Projector.open({ log: cut, store, timers: testTimers })).rejects.toMatchObject({ code: 'BEYOND_END' });
      await expect(Projector.open({ log: cut, store, timers: testTimers })).rejects.toThrow(/FABULA_ADOPT_LOG/);
    });
  });
}
