import { createMemoryLog } from '#lib/log';
import { stateFromJson } from '#lib/playthrough';
import { randomFrom, writeRandomHistory } from './contract/random-history.js';
import { MemoryProjection } from './memory-projection.js';
import { DataRefused } from './projection-store.js';
import { Projector } from './projector.js';

const timers = {
  after: (ms: number, callback: () => void) => {
    const t = setTimeout(callback, ms);
    return () => clearTimeout(t);
  },
};

describe('the projector over memory', () => {
  it('comes to the states, versions and verdicts that the writers know', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const log = createMemoryLog({ partitions: 3, clock: { now: () => seed } });
      const truth = await writeRandomHistory(log, { seed, partitions: 3, playthroughs: 6, records: 200 });
      const store = new MemoryProjection();
      const projector = await Projector.open({ log, store, timers, maxRecords: 1 + randomFrom(seed)(40), cacheBytes: seed * 500 });
      for (let partition = 0; partition < 3; partition++) await projector.catchUp(partition);
      const verdicts = { accepted: 0, duplicate: 0, reused: 0, conflict: 0, invalid: 0 };
      for (const status of projector.status())
        for (const [name, count] of Object.entries(status.verdicts)) verdicts[name as 'accepted'] += count;
      expect(verdicts).toEqual(truth.verdicts);
      expect(store.rows('parked').size).toBe(0);
      for (const [stream, state] of truth.states) {
        const row = store.rows('streams').get(stream);
        expect(row?.version).toBe(truth.versions.get(stream));
        expect(stateFromJson(row?.state ?? '')).toEqual(state);
      }
    }
  });

  it.each([
    ['the store is away', () => new Error('no connection')],
    ['the store refuses the data', () => new DataRefused('a rule')],
  ])('makes up for a commit that failed at the tail because %s, without waiting for another record', async (_why, failure) => {
    const log = createMemoryLog({ partitions: 1, clock: { now: () => 1 } });
    await writeRandomHistory(log, { seed: 3, partitions: 1, playthroughs: 2, records: 12 });
    const store = new MemoryProjection();
    const commit = store.commit.bind(store);
    let failures = 1;
    store.commit = async (changes) => {
      if (failures-- > 0) throw failure();
      return commit(changes);
    };
    const projector = await Projector.open({ log, store, timers, retryMs: [1, 1] });
    const end = await log.end(0);
    const caughtUp = new Promise<void>((resolve) => projector.onCommit(({ to }) => to === end && resolve()));
    projector.start();
    await caughtUp;
    await projector.stop();
    expect((await store.readPosition(0)).nextOffset).toBe(end);
    expect(failures).toBeLessThan(0);
  });
});
