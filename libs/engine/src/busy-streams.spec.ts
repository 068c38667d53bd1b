import { BusyStreams } from './busy-streams.js';
import { begun } from './testing/begun.js';
import { accepted, chooseRequest, failure, startRequest } from './testing/fixture.js';
import { HandTime } from './testing/hand-time.js';

describe('One playthrough with very many clients', () => {
  it('fills its share of the queue only: it is RATE_LIMITED alone, others are taken, and it goes on when it has drained', async () => {
    const { engine, gate, id } = await begun({ limits: { queueCommands: 200, streamShare: 0.1 } });
    const crowd = Array.from({ length: 50 }, () => failure(engine.execute(chooseRequest(id, 0))));
    const elsewhere = accepted(engine.execute(startRequest()));
    gate.open = true;
    await gate.decide('stored').catch(() => undefined);
    const codes = await Promise.all(crowd);
    expect(codes.filter((code) => code === 'RATE_LIMITED')).toHaveLength(30);
    expect(codes.filter((code) => code === 'accepted')).toHaveLength(1);
    expect(codes.filter((code) => code === 'rejected TURN_STALE')).toHaveLength(19);
    await elsewhere;
    expect(await accepted(engine.execute(chooseRequest(id, 1)))).toMatchObject({ turn: 2 });
    await engine.stop();
  });

  it('cannot take the bytes of the queue either', async () => {
    const { engine, gate, id } = await begun({ limits: { queueBytes: 60_000, streamShare: 0.1 } });
    const large = { digestInput: 'x'.repeat(8_000) };
    const first = failure(engine.execute({ ...chooseRequest(id, 0), ...large }));
    expect(await failure(engine.execute({ ...chooseRequest(id, 0), ...large }))).toBe('RATE_LIMITED');
    const elsewhere = accepted(engine.execute({ ...startRequest(), ...large }));
    gate.open = true;
    await gate.decide('stored').catch(() => undefined);
    expect(await first).toBe('accepted');
    await elsewhere;
    await engine.stop();
  });

  it('is named, refused commands included', async () => {
    const { engine, gate, id, time } = await begun();
    gate.open = true;
    for (let turn = 0; turn < 5; turn++) await accepted(engine.execute(chooseRequest(id, turn)));
    await accepted(engine.execute(startRequest()));
    expect(engine.busiest(3, 2)).toEqual([{ stream: `playthrough/${id}`, commands: 6 }]);
    await time.pass(61_000);
    expect(engine.busiest(3, 2)).toEqual([]);
    await engine.stop();
  });
});

describe('The busiest streams', () => {
  it('are found among any number of others in bounded memory, never counted too low', () => {
    const time = new HandTime();
    const busy = new BusyStreams(time);
    for (let i = 0; i < 20_000; i++) {
      busy.note(`playthrough/quiet-${i}`);
      if (i % 10 === 0) busy.note('playthrough/loud');
      if (i % 25 === 0) busy.note('playthrough/second');
    }
    const [first, second] = busy.top(5, 500);
    expect([first?.stream, second?.stream]).toEqual(['playthrough/loud', 'playthrough/second']);
    expect(first?.commands).toBeGreaterThanOrEqual(2_000);
    // Too high by at most what a stream of the table's average has.
    expect(first?.commands).toBeLessThanOrEqual(2_000 + 22_800 / 256);
    expect(busy.top(1_000, 1)).toHaveLength(256);
  });

  it('of a minute ago are forgotten slice by slice', async () => {
    const time = new HandTime();
    const busy = new BusyStreams(time);
    for (let slice = 0; slice < 8; slice++) {
      busy.note('playthrough/steady');
      if (slice === 0) busy.note('playthrough/early');
      await time.pass(10_000);
    }
    expect(busy.top(5, 1)).toEqual([{ stream: 'playthrough/steady', commands: 6 }]);
  });
});
