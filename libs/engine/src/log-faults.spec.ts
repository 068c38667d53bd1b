import type { EventLog, LogRecord } from '#lib/log';
import { begun } from './testing/begun.js';
import { accepted, chooseRequest, failure, freshCommandId, rejected, startRequest, watch } from './testing/fixture.js';
import { GatedLog } from './testing/gated-log.js';
import { settled } from './testing/hand-time.js';

const bytes = (batch: readonly LogRecord[] | undefined): string =>
  (batch ?? []).map(({ value }) => Buffer.from(value).toString('utf8')).join('\n');

async function contents(log: EventLog): Promise<number> {
  return log.end(0);
}

describe('A log that is unavailable', () => {
  it('fails the batch, and leaves the state as the log confirmed it', async () => {
    const { engine, gate, id, log } = await begun();
    const [first, second] = [0, 1].map((turn) => failure(engine.execute(chooseRequest(id, turn))));
    await gate.decide('unavailable');
    expect([await first, await second]).toEqual(['LOG_UNAVAILABLE', 'LOG_UNAVAILABLE']);
    expect(engine.hot(`playthrough/${id}`)).toMatchObject({ turn: 0 });
    gate.open = true;
    expect(await accepted(engine.execute(chooseRequest(id, 0)))).toMatchObject({ turn: 1, offset: 1 });
    expect(await contents(log)).toBe(2);
    await engine.stop();
  });

  it('fails a bookmark that would be there only because of the batch', async () => {
    const { engine, gate, id } = await begun();
    const name = { alg: 'A256GCM', kid: 'k', iv: 'AAAAAAAAAAAAAAAA', ct: 'AA', tag: 'AAAAAAAAAAAAAAAAAAAAAA' } as const;
    const bookmark = { type: 'setCheckpoint', checkpoint: { name, mark: 'm', turn: 0 }, turn: 0 } as const;
    const both = [1, 2].map(() => failure(engine.execute({ ...chooseRequest(id, 0), command: bookmark, digestInput: 'm' })));
    const behind = failure(engine.execute(chooseRequest(id, 7)));
    await gate.decide('unavailable');
    expect(await Promise.all(both)).toEqual(['LOG_UNAVAILABLE', 'LOG_UNAVAILABLE']);
    expect(await behind).toBe('rejected TURN_STALE');
    await engine.stop();
  });

  it('fails a reused commandId whose first use it did not take', async () => {
    const { engine, gate, id } = await begun();
    const walk = chooseRequest(id, 0);
    const both = [failure(engine.execute(walk)), failure(engine.execute({ ...walk, digestInput: 'other' }))];
    await gate.decide('unavailable');
    expect(await Promise.all(both)).toEqual(['LOG_UNAVAILABLE', 'LOG_UNAVAILABLE']);
    await engine.stop();
  });

  it('fails a rejection that is true only after the batch', async () => {
    const { engine, gate, id } = await begun();
    const door = failure(engine.execute(chooseRequest(id, 0, 'door')));
    const unknownThere = failure(engine.execute(chooseRequest(id, 1, 'walk')));
    await gate.decide('unavailable');
    expect([await door, await unknownThere]).toEqual(['LOG_UNAVAILABLE', 'LOG_UNAVAILABLE']);
    await engine.stop();
  });

  it('does not fail commands that need no record', async () => {
    const { engine, gate, id } = await begun();
    const walk = failure(engine.execute(chooseRequest(id, 0)));
    await gate.decide('unavailable');
    expect(await walk).toBe('LOG_UNAVAILABLE');
    expect(await rejected(engine.execute(chooseRequest(id, 0, 'nowhere')))).toMatchObject({ code: 'CHOICE_UNKNOWN' });
    await engine.stop();
  });

  it('that refuses for good fails the batch with an alarm, and the writer goes on', async () => {
    const { engine, gate, id, alarms } = await begun();
    const walk = failure(engine.execute(chooseRequest(id, 0)));
    await gate.decide('refused');
    expect(await walk).toBe('LOG_UNAVAILABLE');
    expect(alarms).toEqual(['the log refuses records of partition 0: no']);
    gate.open = true;
    expect(await accepted(engine.execute(chooseRequest(id, 0)))).toMatchObject({ turn: 1 });
    await engine.stop();
  });
});

describe('An append of unknown outcome', () => {
  it.each(['lost', 'unanswered'] as const)(
    '(%s) is followed by the same bytes until the verdict is known; meanwhile nothing new is decided',
    async (fate) => {
      const { engine, gate, id, time, log } = await begun();
      const walk = accepted(engine.execute(chooseRequest(id, 0)));
      await gate.decide(fate);
      const next = accepted(engine.execute(chooseRequest(id, 1)));
      await time.pass(20);
      expect(gate.appends).toHaveLength(2);
      await gate.decide(fate);
      await time.pass(40);
      await gate.decide('stored');
      expect(await walk).toMatchObject({ duplicate: false, offset: 1, turn: 1, version: 2 });
      expect(new Set(gate.appends.slice(0, 3).map(bytes)).size).toBe(1);
      await gate.decide('stored');
      expect(await next).toMatchObject({ turn: 2, version: 3 });
      // Once, twice or three times in the log, once in effect.
      expect(await contents(log)).toBe(fate === 'lost' ? 3 : 5);
      await engine.stop();
    },
  );

  it('is answered OUTCOME_UNKNOWN at the deadline, and the same command later tells what came of it', async () => {
    const { engine, gate, id, time } = await begun();
    const walk = chooseRequest(id, 0, 'walk', { deadlineMs: 300 });
    const unknown = failure(engine.execute(walk));
    const queued = failure(engine.execute(chooseRequest(id, 1, 'walk', { deadlineMs: 300 })));
    await gate.decide('unanswered');
    const behind = failure(engine.execute(chooseRequest(id, 2, 'walk', { deadlineMs: 200 })));
    await time.pass(400);
    expect([await unknown, await queued, await behind]).toEqual(['OUTCOME_UNKNOWN', 'OUTCOME_UNKNOWN', 'LOG_UNAVAILABLE']);
    await gate.decide('stored');
    gate.open = true;
    expect(await accepted(engine.execute(walk))).toMatchObject({ duplicate: true, offset: 1, turn: 1, state: { turn: 2 } });
    await engine.stop();
  });

  it('stays unknown when the log is then unavailable, until the same bytes have a verdict', async () => {
    const { engine, gate, id, time } = await begun();
    const walk = watch(accepted(engine.execute(chooseRequest(id, 0))));
    await gate.decide('unanswered');
    await time.pass(20);
    await gate.decide('unavailable');
    expect(await walk.settled()).toBe(false);
    await time.pass(40);
    await gate.decide('stored');
    expect(await walk.promise).toMatchObject({ duplicate: false, offset: 1, turn: 1 });
    await engine.stop();
  });

  it('that never ends leaves its callers with OUTCOME_UNKNOWN when the engine stops', async () => {
    const { engine, gate, id, time } = await begun();
    const walk = failure(engine.execute(chooseRequest(id, 0)));
    await gate.decide('lost');
    const behind = failure(engine.execute(chooseRequest(id, 1)));
    const stopping = engine.stop();
    await time.pass(6_000);
    await stopping;
    expect([await walk, await behind]).toEqual(['OUTCOME_UNKNOWN', 'OVERLOADED']);
    expect(gate.held).toBe(0);
  });

  it('whose first try arrives after another writer was faster is no effect at all', async () => {
    const { engine, gate, id, time, log, another } = await begun();
    const mine = chooseRequest(id, 0, 'walk');
    const walk = rejected(engine.execute(mine));
    await gate.decide('lost');
    const other = another({}, log);
    await other.start();
    expect(await accepted(other.execute(chooseRequest(id, 0, 'roll')))).toMatchObject({ turn: 1 });
    await time.pass(50);
    await gate.decide('stored');
    expect(await walk).toMatchObject({ code: 'TURN_STALE', state: { turn: 1 } });
    // The lost bytes turn up after all: they name a head that is gone.
    await log.append(0, gate.appends[0] as readonly LogRecord[]);
    gate.open = true;
    expect(await accepted(engine.execute(chooseRequest(id, 1)))).toMatchObject({ turn: 2, version: 3 });
    await Promise.all([engine.stop(), other.stop()]);
  });
});

describe('Another writer on the same partition', () => {
  it('is noticed by the offset: its records are folded in, and losers are decided again on the new state', async () => {
    const { engine, gate, id, log, another, metrics } = await begun();
    const other = another({}, log);
    await other.start();
    // The same batch meets a stream that moved and one that did not.
    const elsewhere = startRequest();
    await accepted(other.execute(chooseRequest(id, 0, 'roll')));
    const lost = engine.execute(chooseRequest(id, 0));
    const fresh = accepted(engine.execute(elsewhere));
    await gate.decide('stored');
    await gate.decide('stored').catch(() => undefined);
    expect(await rejected(lost)).toMatchObject({ code: 'TURN_STALE', state: { turn: 1 } });
    expect(await fresh).toMatchObject({ turn: 0, offset: 3 });
    expect(metrics.filter((name) => name === 'conflict')).toHaveLength(1);
    await Promise.all([engine.stop(), other.stop()]);
  });

  it('makes what was rejected on account of a loser be decided again too', async () => {
    const { engine, gate, id, log, another } = await begun();
    const other = another({}, log);
    await other.start();
    await accepted(other.execute(chooseRequest(id, 0, 'roll')));
    // In the cellar behind the door there is no walking; in the hall, where the other writer left the reader, there is.
    const door = rejected(engine.execute(chooseRequest(id, 0, 'door')));
    const walk = accepted(engine.execute(chooseRequest(id, 1, 'walk')));
    await gate.decide('stored');
    await gate.decide('stored');
    expect(await door).toMatchObject({ code: 'TURN_STALE' });
    expect(await walk).toMatchObject({ turn: 2, state: { narrative: { passageId: 'hall' } } });
    await Promise.all([engine.stop(), other.stop()]);
  });

  it('that already took the command makes it a duplicate, with the first position', async () => {
    const { engine, gate, id, log, another, time } = await begun();
    const other = another({}, log);
    await other.start();
    const walk = chooseRequest(id, 0);
    await accepted(other.execute(walk));
    await time.pass(1);
    const second = accepted(engine.execute(walk));
    const reused = failure(engine.execute({ ...walk, digestInput: 'other' }));
    await gate.decide('stored');
    expect(await second).toMatchObject({ duplicate: true, offset: 1, turn: 1, state: { turn: 1 } });
    expect(await reused).toBe('COMMAND_REUSED');
    await Promise.all([engine.stop(), other.stop()]);
  });

  it('that used the commandId for something else makes it COMMAND_REUSED', async () => {
    const { engine, gate, id, log, another } = await begun();
    const other = another({}, log);
    await other.start();
    const walk = chooseRequest(id, 0);
    await accepted(other.execute({ ...walk, digestInput: 'other' }));
    const second = failure(engine.execute(walk));
    await gate.decide('stored');
    expect(await second).toBe('COMMAND_REUSED');
    await Promise.all([engine.stop(), other.stop()]);
  });

  it('that is faster each time costs the command five more decisions, then OVERLOADED', async () => {
    const { engine, gate, id, log, another } = await begun();
    const other = another({}, log);
    await other.start();
    const name = { alg: 'A256GCM', kid: 'k', iv: 'AAAAAAAAAAAAAAAA', ct: 'AA', tag: 'AAAAAAAAAAAAAAAAAAAAAA' } as const;
    const bookmark = (mark: string) => ({ type: 'setCheckpoint', checkpoint: { name, mark, turn: 0 }, turn: 0 }) as const;
    const walk = failure(engine.execute(chooseRequest(id, 0)));
    // Bookmarks change the stream, but not the turn: the walk stays possible.
    for (let i = 0; i < 6; i++) {
      const command = bookmark(`m${i}`);
      await accepted(other.execute({ ...chooseRequest(id, 0), commandId: freshCommandId(), command, digestInput: i }));
      await gate.decide('stored');
    }
    expect(await walk).toBe('OVERLOADED');
    expect(gate.appends).toHaveLength(6);
    await Promise.all([engine.stop(), other.stop()]);
  });

  it('that went ahead is heard before a turn of the future is called stale', async () => {
    const { engine, gate, id, log, another } = await begun();
    const other = another({}, log);
    await other.start();
    for (const turn of [0, 1, 2]) await accepted(other.execute(chooseRequest(id, turn)));
    const walk = accepted(engine.execute(chooseRequest(id, 3)));
    await gate.decide('stored');
    expect(await walk).toMatchObject({ turn: 4, offset: 4 });
    expect(gate.appends).toHaveLength(1);
    expect(await rejected(engine.execute(chooseRequest(id, 9)))).toMatchObject({ code: 'TURN_STALE', state: { turn: 4 } });
    await Promise.all([engine.stop(), other.stop()]);
  });

  it('that left a gap which cannot be read yet keeps everybody waiting, not guessing', async () => {
    const { engine, gate, id, log, another, time } = await begun();
    const other = another({}, log);
    await other.start();
    await accepted(other.execute(startRequest()));
    const broken = jest.spyOn(gate, 'read').mockImplementationOnce(() => {
      throw new Error('the network');
    });
    const walk = watch(accepted(engine.execute(chooseRequest(id, 0))));
    await gate.decide('stored');
    expect(broken).toHaveBeenCalled();
    expect(await walk.settled()).toBe(false);
    await time.pass(20);
    expect(await walk.promise).toMatchObject({ turn: 1, offset: 2 });
    await Promise.all([engine.stop(), other.stop()]);
  });
});

describe('Records that this version cannot read', () => {
  it('of a newer envelope stop the partition, and it says so', async () => {
    const { engine, gate, id, log, alarms, another } = await begun();
    await log.append(0, [{ key: `playthrough/${id}`, value: Buffer.from('{"v":2}') }]);
    const walk = failure(engine.execute(chooseRequest(id, 0)));
    await gate.decide('stored');
    expect(await walk).toBe('OUTCOME_UNKNOWN');
    expect(await failure(engine.execute(chooseRequest(id, 0)))).toBe('LOG_UNAVAILABLE');
    expect([...engine.problems().keys()]).toEqual([0]);
    expect(alarms.at(-1)).toContain('envelope version 2');
    // A restart finds the same.
    const restarted = another({}, log);
    await restarted.start();
    expect(restarted.problems().get(0)).toContain('envelope version 2');
    await Promise.all([engine.stop(), restarted.stop()]);
  });

  it('by event type park that stream while its head goes on; others are not touched', async () => {
    const { engine, gate, id, log, another, cold } = await begun();
    gate.open = true;
    const other = await accepted(engine.execute(startRequest()));
    // A newer Fabula plays the first stream on with an event that is not known here.
    const foreign = new GatedLog(log);
    const newer = another({}, foreign);
    await newer.start();
    void newer.execute(chooseRequest(id, 0)).catch(() => undefined);
    await settled();
    const [record] = foreign.appends[0] as readonly LogRecord[];
    const text = Buffer.from((record as LogRecord).value)
      .toString('utf8')
      .replace('"type":"ChoiceMade"', '"type":"PassageNarrated"');
    await log.append(0, [{ key: `playthrough/${id}`, value: Buffer.from(text) }]);
    expect(await failure(engine.execute(chooseRequest(id, 1)))).toBe('PLAYTHROUGH_PARKED');
    expect(await failure(engine.execute(chooseRequest(id, 1)))).toBe('PLAYTHROUGH_PARKED');
    expect(await accepted(engine.execute(chooseRequest(other.state.id, 0)))).toMatchObject({ turn: 1 });
    // Once the projector has passed the record, each command looks in the read models whether the stream was mended.
    jest.spyOn(cold, 'position').mockResolvedValue(4);
    await failure(engine.execute(chooseRequest(id, 0)));
    await settled();
    await failure(engine.execute(chooseRequest(id, 0)));
    cold.calls.length = 0;
    expect(await failure(engine.execute(chooseRequest(id, 0)))).toBe('PLAYTHROUGH_PARKED');
    expect(cold.calls).toEqual(['load 1']);
    await engine.stop();
  });

  it('because they are not records at all count for nothing', async () => {
    const { engine, gate, id, log } = await begun();
    await log.append(0, [{ key: 'x', value: Buffer.from('no json') }]);
    const walk = accepted(engine.execute(chooseRequest(id, 0)));
    await gate.decide('stored');
    expect(await walk).toMatchObject({ offset: 2, turn: 1 });
    await engine.stop();
  });
});
