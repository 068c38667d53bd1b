import { openPostgresLog } from '#lib/log';
import { systemClock, systemIds, systemTimers } from '#lib/platform';
import { createReadSide, Projector } from '#lib/projections';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { Engine } from './engine.js';
import { PostgresContentStore } from './postgres-content-store.js';
import { accepted, chooseRequest, request, startRequest } from './testing/fixture.js';
import { loopHash, loopText } from './testing/loop-story.js';

describe('The engine on Postgres', () => {
  let home: TestDatabase;
  beforeAll(async () => {
    home = await createTestDatabase();
  });
  afterAll(() => home.drop());

  it('keeps story content under its own hash only', async () => {
    const content = new PostgresContentStore(home.pool);
    await content.put(loopHash, loopText);
    await content.put(loopHash, loopText);
    expect(await content.get(loopHash)).toBe(loopText);
    expect(await content.get('0'.repeat(64))).toBeUndefined();
    await expect(content.put('0'.repeat(64), loopText)).rejects.toThrow('does not hash to');
  });

  it('plays, stops, and goes on from the read models and the tail of the log', async () => {
    const log = await openPostgresLog({ pool: home.pool, partitions: 2 });
    await new PostgresContentStore(home.pool).put(loopHash, loopText);
    const side = createReadSide({ pool: home.pool, logId: await log.id(), partitions: 2, timers: systemTimers, clock: systemClock });
    const projector = await Projector.open({ log, store: side.projection, timers: systemTimers });
    const content = new PostgresContentStore(home.pool);
    const engine = (): Engine =>
      new Engine({
        log,
        clock: systemClock,
        timers: systemTimers,
        ids: systemIds,
        cold: side.cold,
        content,
        limits: { visibleMs: 10_000 },
      });

    const first = engine();
    await first.start();
    const starts = Array.from({ length: 20 }, () => startRequest());
    await Promise.all(starts.map((start) => accepted(first.execute(start))));
    const walk = chooseRequest((starts[0] as { id: string }).id, 0);
    const walked = await accepted(first.execute(walk));
    await first.stop();

    // Nothing is projected yet: all of it comes from the tail. Then the projector runs, and more is played and rewound.
    const second = engine();
    await second.start();
    expect(await accepted(second.execute(walk))).toMatchObject({ duplicate: true, offset: walked.offset, turn: 1, version: 2 });
    projector.start();
    for (let turn = 1; turn < 4; turn++) await accepted(second.execute(chooseRequest(walked.state.id, turn)));
    const back = await accepted(second.execute(request(walked.state.id, { type: 'rewind', toTurn: 2, turn: 4 })));
    expect(back.state.narrative.variables['steps']).toBe(2);
    await projector.stop();
    await second.stop();

    const third = engine();
    await third.start();
    expect(await accepted(third.execute(chooseRequest(walked.state.id, 5)))).toMatchObject({ turn: 6, version: 7 });
    await third.stop();
    await log.close();
  });
});
