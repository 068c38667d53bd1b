import { begun } from './testing/begun.js';
import { accepted, chooseRequest, failure, startRequest, watch } from './testing/fixture.js';

const limits = { breakerFailures: 3, breakerStallMs: 2_000, breakerPauseMs: 1_000 } as const;

describe('While the log is down for long', () => {
  it('what has not left is LOG_UNAVAILABLE as soon as the breaker opens, what may have arrived waits for its verdict', async () => {
    const { engine, gate, id, time } = await begun({ limits });
    const sent = watch(accepted(engine.execute(chooseRequest(id, 0))));
    await gate.decide('unanswered');
    const behind = [1, 2].map((turn) => failure(engine.execute(chooseRequest(id, turn))));
    await time.pass(20);
    await gate.decide('unavailable');
    await time.pass(40);
    expect(engine.stats()).toMatchObject([{ breaker: 'closed', breakerSince: null }]);
    await gate.decide('lost');
    // 60 ms of a deadline of ten seconds have passed.
    expect(await Promise.all(behind)).toEqual(['LOG_UNAVAILABLE', 'LOG_UNAVAILABLE']);
    expect(engine.stats()).toMatchObject([{ breaker: 'open', pending: 1 }]);
    expect(await failure(engine.execute(startRequest()))).toBe('LOG_UNAVAILABLE');
    expect(await sent.settled()).toBe(false);
    // However long it takes: the same bytes are the probe, nobody else is let through.
    await time.pass(5_000);
    expect(engine.stats()).toMatchObject([{ breaker: 'open' }]);
    expect(await failure(engine.execute(startRequest()))).toBe('LOG_UNAVAILABLE');
    await gate.decide('stored');
    expect(await sent.promise).toMatchObject({ offset: 1, turn: 1, duplicate: false });
    expect(engine.stats()).toMatchObject([{ breaker: 'closed', pending: 0 }]);
    gate.open = true;
    expect(await accepted(engine.execute(chooseRequest(id, 1)))).toMatchObject({ turn: 2 });
    await engine.stop();
  });

  it('one command at a time tries again after a pause, and the first that succeeds closes the breaker', async () => {
    const { engine, gate, id, time, log } = await begun({ limits });
    for (let i = 0; i < 3; i++) {
      const walk = failure(engine.execute(chooseRequest(id, 0)));
      await gate.decide('unavailable');
      expect(await walk).toBe('LOG_UNAVAILABLE');
    }
    expect(engine.stats()).toMatchObject([{ breaker: 'open' }]);
    expect(await failure(engine.execute(chooseRequest(id, 0)))).toBe('LOG_UNAVAILABLE');
    expect(gate.appends).toHaveLength(3);

    await time.pass(2_000);
    expect(engine.stats()).toMatchObject([{ breaker: 'half-open' }]);
    const probe = failure(engine.execute(chooseRequest(id, 0)));
    expect(await failure(engine.execute(startRequest()))).toBe('LOG_UNAVAILABLE');
    await gate.decide('unavailable');
    expect(await probe).toBe('LOG_UNAVAILABLE');
    expect(engine.stats()).toMatchObject([{ breaker: 'open' }]);

    await time.pass(2_000);
    const second = accepted(engine.execute(chooseRequest(id, 0)));
    await gate.decide('stored');
    expect(await second).toMatchObject({ turn: 1 });
    expect(engine.stats()).toMatchObject([{ breaker: 'closed', breakerSince: null }]);
    gate.open = true;
    await Promise.all([1, 2, 3].map((turn) => accepted(engine.execute(chooseRequest(id, turn)))));
    expect(await log.end(0)).toBe(5);
    await engine.stop();
  });

  it('an append that hangs opens the breaker too: the commands behind it do not wait for their deadline', async () => {
    const { engine, gate, id, time, metrics } = await begun({ limits });
    const hangs = watch(accepted(engine.execute(chooseRequest(id, 0))));
    await hangs.settled();
    const behind = watch(failure(engine.execute(chooseRequest(id, 1))));
    await time.pass(1_900);
    expect(await behind.settled()).toBe(false);
    await time.pass(200);
    expect(await behind.promise).toBe('LOG_UNAVAILABLE');
    expect(metrics.filter((name) => name === 'breaker_opened')).toHaveLength(1);
    expect(await failure(engine.execute(chooseRequest(id, 1)))).toBe('LOG_UNAVAILABLE');
    await gate.decide('stored');
    expect(await hangs.promise).toMatchObject({ turn: 1 });
    gate.open = true;
    expect(await accepted(engine.execute(chooseRequest(id, 1)))).toMatchObject({ turn: 2 });
    await engine.stop();
  });

  it('a caller whose deadline passes before its command left learns that nothing happened; one whose command left, that nobody knows', async () => {
    const { engine, gate, id, time } = await begun({ limits: { ...limits, breakerFailures: 100, breakerStallMs: 60_000 } });
    const sent = failure(engine.execute(chooseRequest(id, 0, 'walk', { deadlineMs: 400 })));
    await gate.decide('unanswered');
    const behind = failure(engine.execute(chooseRequest(id, 1, 'walk', { deadlineMs: 200 })));
    await time.pass(500);
    expect([await sent, await behind]).toEqual(['OUTCOME_UNKNOWN', 'LOG_UNAVAILABLE']);
    await gate.decide('stored');
    await engine.stop();
  });

  it('who sends a command again whose record is on its way is never told that nothing happened', async () => {
    const { engine, gate, id, time } = await begun({ limits });
    const walk = chooseRequest(id, 0, 'walk', { deadlineMs: 400 });
    const first = failure(engine.execute(walk));
    await gate.decide('unanswered');
    await time.pass(500);
    expect(await first).toBe('OUTCOME_UNKNOWN');
    const waiting = watch(accepted(engine.execute({ ...walk, deadlineMs: 60_000 })));
    const other = failure(engine.execute(chooseRequest(id, 1)));
    await time.pass(2_500);
    expect(engine.stats()).toMatchObject([{ breaker: 'open', pending: 1 }]);
    expect([await waiting.settled(), await other]).toEqual([false, 'LOG_UNAVAILABLE']);
    expect(await failure(engine.execute(walk))).toBe('OUTCOME_UNKNOWN');
    await gate.decide('stored');
    expect(await waiting.promise).toMatchObject({ turn: 1, duplicate: true });
    await engine.stop();
  });

  it('a gap that cannot be read back opens the breaker as well, and reading it closes it', async () => {
    const { engine, gate, id, time, log, another } = await begun({ limits });
    const other = another({}, log);
    await other.start();
    await accepted(other.execute(startRequest()));
    const broken = jest.spyOn(gate, 'read').mockImplementation(() => {
      throw new Error('the network');
    });
    const walk = watch(accepted(engine.execute(chooseRequest(id, 0))));
    await gate.decide('stored');
    const behind = failure(engine.execute(chooseRequest(id, 1)));
    await time.pass(200);
    expect(await behind).toBe('LOG_UNAVAILABLE');
    broken.mockRestore();
    await time.pass(1_000);
    expect(await walk.promise).toMatchObject({ turn: 1, offset: 2 });
    expect(engine.stats()).toMatchObject([{ breaker: 'closed' }]);
    await Promise.all([engine.stop(), other.stop()]);
  });

  it('a log that refuses bytes for good is no outage', async () => {
    const { engine, gate, id } = await begun({ limits });
    for (let i = 0; i < 4; i++) {
      const walk = failure(engine.execute(chooseRequest(id, 0)));
      await gate.decide('refused');
      expect(await walk).toBe('LOG_UNAVAILABLE');
    }
    expect(engine.stats()).toMatchObject([{ breaker: 'closed' }]);
    await engine.stop();
  });
});
