import type { EventLog } from '#lib/log';
import { begun } from './testing/begun.js';
import { accepted, chooseRequest, failure, fixture, rejected, request, startRequest, type Fixture } from './testing/fixture.js';
import { GatedLog } from './testing/gated-log.js';
import { settled } from './testing/hand-time.js';
import { HotSet, type HotStream } from './hot-set.js';
import { playthroughKind } from './kinds.js';
import { EMPTY_HEAD } from '#lib/decision';
import { stateFromJson, stateToJson, type PlaythroughState } from '#lib/playthrough';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Plays some turns of a new playthrough on an engine of its own, which then stops. */
async function played(fix: Fixture, turns: number): Promise<string> {
  const engine = fix.another({}, fix.log);
  await engine.start();
  const start = startRequest();
  await accepted(engine.execute(start));
  for (let turn = 0; turn < turns; turn++) await accepted(engine.execute(chooseRequest(start.id, turn)));
  await engine.stop();
  return start.id;
}

describe('A cold stream', () => {
  it('is its row as the read models hold it, and its records of the log after their position', async () => {
    const fix = fixture();
    const id = await played(fix, 3);
    await fix.cold.project(0, 2);
    await fix.engine.start();
    expect(await accepted(fix.engine.execute(chooseRequest(id, 3)))).toMatchObject({ turn: 4, version: 5, offset: 4 });
    await fix.engine.stop();
  });

  it('is found in a tail that another writer went on with after this one had recovered', async () => {
    const fix = fixture();
    await fix.engine.start();
    const id = await played(fix, 3);
    await fix.cold.project(0, 2);
    expect(await accepted(fix.engine.execute(chooseRequest(id, 3)))).toMatchObject({ turn: 4, offset: 4 });
    await fix.engine.stop();
  });

  it('whose row is ahead of this writer makes it read what was written first, so that its own batch meets no surprise', async () => {
    const { engine, gate, id, log, cold, another } = await begun();
    gate.open = true;
    const other = another({}, log);
    await other.start();
    await accepted(other.execute(chooseRequest(id, 0, 'roll')));
    const start = startRequest();
    await accepted(other.execute(start));
    await cold.project();
    expect(await accepted(engine.execute(chooseRequest(start.id, 0)))).toMatchObject({ turn: 1, version: 2, offset: 3 });
    expect(gate.reads).toEqual([{ from: 1, upTo: 3 }]);
    expect(engine.hot(`playthrough/${id}`)).toMatchObject({ turn: 1 });
    await Promise.all([engine.stop(), other.stop()]);
  });

  it('is completed from the log when a new generation of the read models stands behind the tail index', async () => {
    let gate: GatedLog | undefined;
    const fix = fixture({ around: (log) => (gate ??= new GatedLog(log)) });
    const id = await played(fix, 5);
    await fix.cold.project();
    await fix.engine.start();
    const gated = gate as unknown as GatedLog;
    gated.open = true;
    fix.cold.forgetAll();
    await fix.cold.project(0, 2);
    gated.reads.length = 0;
    expect(await accepted(fix.engine.execute(chooseRequest(id, 5)))).toMatchObject({ turn: 6, version: 7 });
    expect(gated.reads).toEqual([{ from: 2, upTo: 6 }]);
    await fix.engine.stop();
  });

  it('is refused, not guessed, when its row is further behind than the log may be read', async () => {
    const fix = fixture({ limits: { catchUpRecords: 3 } });
    const id = await played(fix, 5);
    await fix.cold.project();
    await fix.engine.start();
    fix.cold.forgetAll();
    expect(await failure(fix.engine.execute(chooseRequest(id, 5)))).toBe('OVERLOADED');
    await fix.cold.project();
    expect(await accepted(fix.engine.execute(chooseRequest(id, 5)))).toMatchObject({ turn: 6 });
    await fix.engine.stop();
  });

  it('cannot be opened while the read models are down, and hot ones go on', async () => {
    const { engine, gate, id, cold } = await begun();
    gate.open = true;
    cold.failure = new Error('down');
    expect(await failure(engine.execute(startRequest()))).toBe('OVERLOADED');
    expect(await accepted(engine.execute(chooseRequest(id, 0)))).toMatchObject({ turn: 1 });
    cold.failure = undefined;
    expect(await accepted(engine.execute(startRequest()))).toMatchObject({ turn: 0 });
    await engine.stop();
  });

  it('that the read models have parked is answered so until it is mended', async () => {
    const fix = fixture();
    const id = await played(fix, 1);
    await fix.cold.project();
    fix.cold.park(`playthrough/${id}`, 'broken');
    await fix.engine.start();
    expect(await failure(fix.engine.execute(chooseRequest(id, 1)))).toBe('PLAYTHROUGH_PARKED');
    fix.cold.park(`playthrough/${id}`, null);
    expect(await accepted(fix.engine.execute(chooseRequest(id, 1)))).toMatchObject({ turn: 2 });
    await fix.engine.stop();
  });
});

describe('Starting', () => {
  it('reads the log from the read models on and no further back, however long history is', async () => {
    let gate: GatedLog | undefined;
    const fix = fixture({ around: (log) => (gate ??= new GatedLog(log)) });
    await played(fix, 40);
    await fix.cold.project(0, 38);
    await fix.engine.start();
    expect((gate as unknown as GatedLog).reads).toEqual([{ from: 38, upTo: 41 }]);
    await fix.engine.stop();
  });

  it('waits for read models that are down, and takes no commands before', async () => {
    const { engine, cold, time, alarms } = fixture();
    cold.failure = new Error('down');
    const starting = engine.start();
    await settled();
    expect(await failure(engine.execute(startRequest()))).toBe('OVERLOADED');
    expect(engine.problems().size).toBe(1);
    cold.failure = undefined;
    await time.pass(20);
    await starting;
    expect(alarms).toEqual(['partition 0 is not ready: down']);
    expect(await accepted(engine.execute(startRequest()))).toMatchObject({ turn: 0 });
    await engine.stop();
  });

  it('refuses read models that belong to another log', async () => {
    const { engine, cold } = fixture();
    jest.spyOn(cold, 'position').mockResolvedValue(7);
    await engine.start();
    expect(engine.problems().get(0)).toContain('another log');
    expect(await failure(engine.execute(startRequest()))).toBe('LOG_UNAVAILABLE');
    await engine.stop();
  });
});

describe('The hot set', () => {
  it('lets a stream go only after the projector has passed it; until then new ones are refused and hot ones go on', async () => {
    const { engine, gate, id, cold, time } = await begun({ limits: { hotBytes: 6_000 } });
    gate.open = true;
    const outcomes: string[] = [];
    for (let i = 0; i < 8; i++) outcomes.push(await failure(engine.execute(startRequest())));
    expect(outcomes[0]).toBe('accepted');
    expect(outcomes.at(-1)).toBe('OVERLOADED');
    expect(await accepted(engine.execute(chooseRequest(id, 0)))).toMatchObject({ turn: 1 });
    await cold.project();
    await time.pass(300);
    expect(await accepted(engine.execute(startRequest()))).toMatchObject({ turn: 0 });
    // The first one left; it comes back from its row as it was.
    for (let i = 0; i < 3; i++) {
      await cold.project();
      await time.pass(300);
      await accepted(engine.execute(startRequest()));
    }
    expect(engine.hot(`playthrough/${id}`)).toBeUndefined();
    await cold.project();
    await time.pass(300);
    expect(await accepted(engine.execute(chooseRequest(id, 1)))).toMatchObject({ turn: 2 });
    await engine.stop();
  });

  it('takes at most 20 KB for a playthrough of ordinary size with a full window', async () => {
    const { engine, gate, id, ids } = await begun();
    gate.open = true;
    for (let turn = 0; turn < 80; turn++) await accepted(engine.execute(chooseRequest(id, turn)));
    const state = engine.hot(`playthrough/${id}`) as PlaythroughState;
    const copies = 2_000;
    const set = new HotSet(Infinity);
    // Fresh strings each time, as decoded records have them.
    const entry = (): HotStream['head']['window'][number] =>
      JSON.parse(JSON.stringify({ commandId: `c:${ids.uuid()}`, commandDigest: ids.hex(32), version: 1, offset: 1 }));
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < copies; i++) {
      const head = { ...EMPTY_HEAD, version: 64, window: Array.from({ length: 64 }, entry) };
      const copy = stateFromJson(stateToJson(state));
      set.install({ stream: `playthrough/${i}`, kind: playthroughKind, head, state: copy, parked: null, lastOffset: 0 });
    }
    collectGarbage();
    const each = (process.memoryUsage().heapUsed - before) / copies;
    expect(each).toBeLessThan(20_000);
    // What the cap counts is what is there, within a factor of two.
    expect(set.bytes / copies).toBeGreaterThan(each / 2);
    expect(set.bytes / copies).toBeLessThan(20_000);
    await engine.stop();
  });
});

describe('Rewinds and what-ifs', () => {
  const history = async (options: Parameters<typeof begun>[0] = {}): Promise<Awaited<ReturnType<typeof begun>>> => {
    const fix = await begun(options);
    fix.gate.open = true;
    for (let turn = 0; turn < 5; turn++) await accepted(fix.engine.execute(chooseRequest(fix.id, turn)));
    return fix;
  };
  const walked = (state: PlaythroughState): unknown => state.narrative.variables['steps'];

  it('go back to the state of that turn as the read models have it', async () => {
    const { engine, id, cold } = await history();
    await cold.project();
    const back = await accepted(engine.execute(request(id, { type: 'rewind', toTurn: 2, turn: 5 })));
    expect([back.turn, walked(back.state)]).toEqual([6, 2]);
    await engine.stop();
  });

  it('fork a what-if from a turn of the past, or from now', async () => {
    const { engine, id, cold } = await history();
    await cold.project();
    const fork = startRequest();
    const forked = await accepted(engine.execute(request(fork.id, { type: 'fork', from: id, atTurn: 3 }, { commandId: fork.commandId })));
    expect(forked.state).toMatchObject({ turn: 3, forkedFrom: { playthroughId: id, turn: 3 } });
    expect(walked(forked.state)).toBe(3);
    await engine.stop();
  });

  it('wait for read models that lag, then say so; other commands go on meanwhile', async () => {
    const { engine, id, time, cold } = await history({ limits: { visibleMs: 500 } });
    const back = failure(engine.execute(request(id, { type: 'rewind', toTurn: 2, turn: 5 })));
    expect(await accepted(engine.execute(startRequest()))).toMatchObject({ turn: 0 });
    await time.pass(600);
    expect(await back).toBe('NOT_YET_VISIBLE');
    const again = accepted(engine.execute(request(id, { type: 'rewind', toTurn: 2, turn: 5 })));
    await time.pass(100);
    await cold.project();
    await time.pass(100);
    expect(await again).toMatchObject({ turn: 6 });
    await engine.stop();
  });

  it('to turns or from playthroughs that never were are refused', async () => {
    const { engine, id, cold } = await history();
    await cold.project();
    expect(await rejected(engine.execute(request(id, { type: 'rewind', toTurn: 5, turn: 5 })))).toMatchObject({ code: 'BAD_INPUT' });
    const fork = startRequest();
    const nowhere = request(fork.id, { type: 'fork', from: 'nobody', atTurn: 3 }, { commandId: fork.commandId });
    expect(await rejected(engine.execute(nowhere))).toMatchObject({ code: 'PLAYTHROUGH_NOT_FOUND' });
    await engine.stop();
  });

  it('onto a past that does not match its recorded hash are stopped with an alarm', async () => {
    const { engine, id, cold, alarms } = await history();
    await cold.project();
    cold.corrupt = true;
    expect(await failure(engine.execute(request(id, { type: 'rewind', toTurn: 2, turn: 5 })))).toBe('INTERNAL');
    expect(alarms).toEqual([expect.stringContaining(`playthrough/${id} at turn 2`)]);
    await engine.stop();
  });
});

describe('Timed choices', () => {
  const inCellar = async (): Promise<Awaited<ReturnType<typeof begun>>> => {
    const fix = await begun();
    fix.gate.open = true;
    await accepted(fix.engine.execute(chooseRequest(fix.id, 0, 'door')));
    fix.gate.appends.length = 0;
    return fix;
  };
  const recorded = async (log: EventLog, from: number): Promise<readonly unknown[]> => {
    const found: unknown[] = [];
    for await (const { records } of log.read(0, from, { upTo: await log.end(0) })) {
      for (const { value } of records) found.push(JSON.parse(Buffer.from(value).toString('utf8')));
    }
    return found;
  };

  it('that are due are taken before the late command, in the same batch, and the command then meets the next turn', async () => {
    const { engine, gate, id, time, log } = await inCellar();
    await time.pass(5_251);
    const late = chooseRequest(id, 1, 'up');
    expect(await rejected(engine.execute(late))).toMatchObject({
      code: 'TURN_STALE',
      state: { turn: 2, narrative: { passageId: 'hall' } },
    });
    expect(gate.appends.map((batch) => batch.length)).toEqual([1]);
    expect(await recorded(log, 2)).toEqual([
      expect.objectContaining({ commandId: `s:timeout:${id}:1`, causationId: late.commandId, actor: { id: 'system', role: 'system' } }),
    ]);
    await engine.stop();
  });

  it('are still the reader’s within the grace of 250 ms', async () => {
    const { engine, id, time } = await inCellar();
    await time.pass(5_250);
    expect(await accepted(engine.execute(chooseRequest(id, 1, 'up')))).toMatchObject({ turn: 2 });
    await engine.stop();
  });

  it('are swept when nobody comes, once', async () => {
    const { engine, id, time, cold, log } = await inCellar();
    await cold.project();
    await time.pass(7_000);
    expect(engine.hot(`playthrough/${id}`)).toMatchObject({ turn: 2 });
    await time.pass(3_000);
    expect(await recorded(log, 2)).toEqual([expect.objectContaining({ commandId: `s:timeout:${id}:1`, causationId: null })]);
    await engine.stop();
  });

  it('are not taken by a clock that jumped back', async () => {
    const { engine, id, time, log } = await inCellar();
    jest.spyOn(time, 'now').mockReturnValue(0);
    const walked = await accepted(engine.execute(chooseRequest(id, 1, 'up')));
    expect(walked.state.lastAt).toBe(1_700_000_000_000);
    expect(await recorded(log, 2)).toEqual([expect.objectContaining({ at: 1_700_000_000_000 })]);
    await engine.stop();
  });
});
