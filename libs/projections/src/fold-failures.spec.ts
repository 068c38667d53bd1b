import { createMemoryLog } from '#lib/log';
import { writeRandomHistory } from './contract/random-history.js';
import { MemoryProjection } from './memory-projection.js';
import { Projector } from './projector.js';
import { STREAM_KINDS } from './stream-kinds.js';

describe('A defect in our own fold', () => {
  it('holds back the one stream that meets it, and neither its batch nor its partition', async () => {
    const log = createMemoryLog({ partitions: 1, clock: { now: () => 1 } });
    const truth = await writeRandomHistory(log, { seed: 7, partitions: 1, playthroughs: 6, records: 200 });
    const [victim, ...others] = [...truth.states.keys()].filter((stream) => stream.startsWith('playthrough/'));
    const sound = STREAM_KINDS.get('playthrough') as NonNullable<ReturnType<typeof STREAM_KINDS.get>>;
    const kinds = new Map(STREAM_KINDS).set('playthrough', {
      ...sound,
      fold(before, record, events, offset) {
        if (record.stream === victim) throw new TypeError("Cannot read properties of undefined (reading 'x')");
        return sound.fold(before, record, events, offset);
      },
    });
    const store = new MemoryProjection();
    const errors: unknown[] = [];
    const timers = { after: () => () => undefined };
    const projector = await Projector.open({ log, store, timers, kinds, onError: (error) => errors.push(error) });
    expect(await projector.catchUp(0)).toBe(await log.end(0));
    expect([...store.rows('parked').values()]).toEqual([expect.objectContaining({ stream: victim, code: 'FOLD_FAILED' })]);
    expect(others.length).toBeGreaterThan(2);
    for (const stream of others) expect(store.rows('streams').get(stream)?.version).toBe(truth.versions.get(stream));
    expect(errors).toEqual([]);
  });
});
