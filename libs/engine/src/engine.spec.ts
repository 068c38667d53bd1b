import { decodeRecord } from '#lib/decision';
import { begun } from './testing/begun.js';
import { accepted, chooseRequest, failure, fixture, freshCommandId, rejected, request, startRequest, watch } from './testing/fixture.js';
import { settled } from './testing/hand-time.js';
import { loopHash } from './testing/loop-story.js';

describe('Commands', () => {
  it('start a playthrough and take choices, each answered with its turn and the state after it', async () => {
    const { engine } = fixture();
    await engine.start();
    const start = startRequest();
    const first = await accepted(engine.execute(start));
    expect(first).toMatchObject({ duplicate: false, partition: 0, offset: 0, turn: 0, version: 1, state: { id: start.id, turn: 0 } });
    const walked = await accepted(engine.execute(chooseRequest(start.id, 0)));
    expect(walked).toMatchObject({ offset: 1, turn: 1, version: 2, state: { turn: 1, narrative: { variables: { steps: 1 } } } });
    const stale = await rejected(engine.execute(chooseRequest(start.id, 0)));
    expect(stale).toMatchObject({ code: 'TURN_STALE', state: { turn: 1 } });
    await engine.stop();
  });

  it('publish a story: the story stream goes the same way', async () => {
    const { engine } = fixture();
    await engine.start();
    const about = { stream: 'story/loop', actor: { id: 'a-1', role: 'author' } as const, correlationId: 'c', causationId: null };
    const draft = {
      type: 'draftVersion',
      storyId: 'loop',
      versionHash: loopHash,
      title: 'The loop',
      format: 'json',
      lintErrors: 0,
      lintWarnings: 0,
      passages: 2,
    } as const;
    const publish = { type: 'publishVersion', versionHash: loopHash } as const;
    await engine.execute({ ...about, commandId: freshCommandId(), digestInput: draft, command: draft });
    const published = await engine.execute({ ...about, commandId: freshCommandId(), digestInput: publish, command: publish });
    expect(published).toMatchObject({ kind: 'accepted', version: 2, state: { current: loopHash } });
    const again = await engine.execute({ ...about, commandId: freshCommandId(), digestInput: publish, command: publish });
    expect(again).toMatchObject({ kind: 'accepted', duplicate: true, version: 2 });
    await engine.stop();
  });

  it('are answered only when the log has confirmed them', async () => {
    const { engine, gate, id } = await begun();
    const walk = watch(engine.execute(chooseRequest(id, 0)));
    expect(await walk.settled()).toBe(false);
    await gate.decide('stored');
    expect(await walk.settled()).toBe(true);
    await engine.stop();
  });

  it('of N cold playthroughs cost one cold load and one append', async () => {
    const { engine, cold, gate } = await begun();
    cold.calls.length = 0;
    const starts = Array.from({ length: 50 }, () => accepted(engine.execute(startRequest())));
    await gate.decide('stored');
    await Promise.all(starts);
    expect(cold.calls).toEqual(['load 50']);
    expect(gate.appends.map((batch) => batch.length)).toEqual([50]);
    await engine.stop();
  });

  it('that arrive during an append wait for it and then share the next batch', async () => {
    const { engine, gate, id } = await begun();
    const first = engine.execute(chooseRequest(id, 0));
    await settled();
    const next = [1, 2, 3].map((turn) => accepted(engine.execute(chooseRequest(id, turn))));
    await gate.decide('stored');
    await gate.decide('stored');
    expect((await accepted(first)).turn).toBe(1);
    expect((await Promise.all(next)).map(({ turn, offset }) => [turn, offset])).toEqual([
      [2, 2],
      [3, 3],
      [4, 4],
    ]);
    expect(gate.appends.map((batch) => batch.length)).toEqual([1, 3]);
    await engine.stop();
  });

  it('split into batches within the limits of records and bytes', async () => {
    const { engine, gate, id } = await begun({ limits: { batchRecords: 2 } });
    gate.open = true;
    await Promise.all([0, 1, 2, 3, 4].map((turn) => accepted(engine.execute(chooseRequest(id, turn)))));
    expect(gate.appends.map((batch) => batch.length)).toEqual([2, 2, 1]);
    await engine.stop();
    const small = await begun({ limits: { batchBytes: 2_500 } });
    small.gate.open = true;
    await Promise.all([0, 1, 2, 3, 4].map((turn) => accepted(small.engine.execute(chooseRequest(small.id, turn)))));
    const sizes = small.gate.appends.map((batch) => batch.reduce((sum, { key, value }) => sum + key.length + value.length, 0));
    expect(sizes.length).toBeGreaterThan(1);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(2_500);
    await small.engine.stop();
  });

  it('beyond the queue are refused at once, and those in it go on', async () => {
    const { engine, gate, id } = await begun({ limits: { queueCommands: 3 } });
    const inside = [0, 1, 2].map((turn) => engine.execute(chooseRequest(id, turn)));
    expect(await failure(engine.execute(chooseRequest(id, 3)))).toBe('OVERLOADED');
    await gate.decide('stored');
    await Promise.all(inside.map(accepted));
    await engine.stop();
    const bytes = await begun({ limits: { queueBytes: 500 } });
    void bytes.engine.execute(chooseRequest(bytes.id, 0));
    expect(await failure(bytes.engine.execute(chooseRequest(bytes.id, 1)))).toBe('OVERLOADED');
    await bytes.gate.decide('stored');
    await bytes.engine.stop();
  });

  it('on kinds of streams without commands, with unreadable input or for partitions of others are refused', async () => {
    const { engine, id } = await begun({ partitions: 1 });
    expect(await failure(engine.execute({ ...chooseRequest(id, 0), stream: 'subject/x' }))).toBe('BAD_INPUT');
    expect(await failure(engine.execute({ ...chooseRequest(id, 0), digestInput: 0.5 }))).toBe('BAD_INPUT');
    expect(await failure(engine.execute({ ...chooseRequest(id, 0), headers: { baggage: 'x'.repeat(5_000) } }))).toBe('TOO_LARGE');
    await engine.release(0);
    expect(await failure(engine.execute(chooseRequest(id, 0)))).toBe('OVERLOADED');
    await engine.stop();
  });

  it('for a story version whose content nobody has are refused', async () => {
    const { engine } = await begun();
    const start = startRequest();
    const command = { type: 'start', storyId: 'loop', versionHash: 'f'.repeat(64), preview: false } as const;
    expect(await failure(engine.execute({ ...start, command }))).toBe('VERSION_NOT_FOUND');
    await engine.stop();
  });

  it('load and compile a story once for all its playthroughs', async () => {
    const { engine, content, gate } = await begun();
    gate.open = true;
    await Promise.all(Array.from({ length: 20 }, () => accepted(engine.execute(startRequest()))));
    expect(content.gets).toEqual([loopHash]);
    await engine.stop();
  });

  it('tell listeners of each change in order, and a listener that fails harms nobody', async () => {
    const { engine, gate, id, alarms } = await begun();
    gate.open = true;
    const turns: [number, number][] = [];
    engine.onChanged(() => {
      throw new Error('mine');
    });
    const end = engine.onChanged(({ state, offset }) => turns.push(['turn' in state ? state.turn : -1, offset]));
    await Promise.all([0, 1, 2].map((turn) => engine.execute(chooseRequest(id, turn))));
    end();
    await engine.execute(chooseRequest(id, 3));
    expect(turns).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    expect(alarms[0]).toBe('a listener failed: mine');
    expect(engine.hot(`playthrough/${id}`)).toMatchObject({ turn: 4 });
    await engine.stop();
  });
});

describe('A command sent twice', () => {
  it('in one batch takes effect once, and both are answered alike', async () => {
    const { engine, gate, id } = await begun();
    const walk = chooseRequest(id, 0);
    const both = [engine.execute(walk), engine.execute(walk)].map(accepted);
    const other = failure(engine.execute({ ...walk, digestInput: 'another' }));
    await gate.decide('stored');
    const [first, second] = await Promise.all(both);
    expect(first).toMatchObject({ duplicate: false, offset: 1, turn: 1, version: 2 });
    expect(second).toMatchObject({ duplicate: true, offset: 1, turn: 1, version: 2, state: { turn: 1 } });
    expect(await other).toBe('COMMAND_REUSED');
    expect(gate.appends.map((batch) => batch.length)).toEqual([1]);
    await engine.stop();
  });

  it('answers the first turn and position with the playthrough as it is now', async () => {
    const { engine, gate, id } = await begun();
    gate.open = true;
    const walk = chooseRequest(id, 0);
    await accepted(engine.execute(walk));
    await accepted(engine.execute(chooseRequest(id, 1)));
    const again = await accepted(engine.execute(walk));
    expect(again).toMatchObject({ duplicate: true, offset: 1, turn: 1, version: 2, state: { turn: 2 } });
    expect(await failure(engine.execute({ ...walk, actor: { id: 'r-two', role: 'reader' } }))).toBe('COMMAND_REUSED');
    await engine.stop();
  });

  it.each(['nothing of it', 'all of it'])('is known after a restart although the read models hold %s', async (held) => {
    const { engine, another, gate, id, cold, log } = await begun();
    gate.open = true;
    const walk = chooseRequest(id, 0);
    await accepted(engine.execute(walk));
    await accepted(engine.execute(chooseRequest(id, 1)));
    await engine.stop();
    if (held === 'all of it') await cold.project();
    const restarted = another({}, log);
    await restarted.start();
    expect(await accepted(restarted.execute(walk))).toMatchObject({ duplicate: true, offset: 1, turn: 1, version: 2, state: { turn: 2 } });
    await restarted.stop();
  });

  it('after more than 64 others is found by the read models, once they have come that far', async () => {
    const { engine, gate, id, cold, time } = await begun({ limits: { visibleMs: 1_000 } });
    gate.open = true;
    const walk = chooseRequest(id, 0);
    await accepted(engine.execute(walk));
    for (let turn = 1; turn <= 70; turn++) await accepted(engine.execute(chooseRequest(id, turn)));
    const late = failure(engine.execute(walk));
    await time.pass(1_100);
    expect(await late).toBe('NOT_YET_VISIBLE');
    const waits = accepted(engine.execute(walk));
    await time.pass(100);
    await cold.project();
    await time.pass(100);
    expect(await waits).toMatchObject({ duplicate: true, offset: 1, turn: 1, version: 2, state: { turn: 71 } });
    expect(await failure(engine.execute({ ...walk, digestInput: 'another' }))).toBe('COMMAND_REUSED');
    // One that never was accepted stays stale; one on the current turn is not looked up at all.
    expect(await rejected(engine.execute(chooseRequest(id, 0)))).toMatchObject({ code: 'TURN_STALE' });
    cold.calls.length = 0;
    expect(await rejected(engine.execute(chooseRequest(id, 71, 'nowhere')))).toMatchObject({ code: 'CHOICE_UNKNOWN' });
    expect(cold.calls).toEqual([]);
    await engine.stop();
  });

  it('as a bookmark after more than 64 others answers its first turn', async () => {
    const { engine, gate, id, cold } = await begun();
    gate.open = true;
    const name = { alg: 'A256GCM', kid: 'k', iv: 'AAAAAAAAAAAAAAAA', ct: 'AA', tag: 'AAAAAAAAAAAAAAAAAAAAAA' } as const;
    const bookmark = request(id, { type: 'setCheckpoint', checkpoint: { name, mark: 'm', turn: 0 }, turn: 0 });
    await accepted(engine.execute(bookmark));
    const same = await accepted(engine.execute({ ...bookmark, commandId: freshCommandId() }));
    expect(same).toMatchObject({ duplicate: true, turn: 0, state: { checkpoints: [{ mark: 'm' }] } });
    for (let turn = 0; turn < 66; turn++) await accepted(engine.execute(chooseRequest(id, turn)));
    await cold.project();
    expect(await accepted(engine.execute(bookmark))).toMatchObject({
      duplicate: true,
      offset: 1,
      turn: 0,
      version: 2,
      state: { turn: 66 },
    });
    await engine.stop();
  });
});

describe('What is in the log', () => {
  it('names who decided what, after which command, and never runs back in time', async () => {
    const { engine, gate, id, time, log } = await begun();
    gate.open = true;
    await time.pass(1_000);
    await accepted(engine.execute(chooseRequest(id, 0, 'walk', { causationId: 'cause', headers: { traceparent: '00-1-2-03' } })));
    const records = [];
    for await (const batch of log.read(0, 0, { upTo: 2 })) records.push(...batch.records);
    const [start, walk] = records.map(({ value }) => decodeRecord(value));
    if (start?.kind !== 'record' || walk?.kind !== 'record') throw new Error('not two records');
    expect(walk.record).toMatchObject({
      expectedVersion: 1,
      previous: start.digest,
      causationId: 'cause',
      actor: { id: 'r-one', role: 'reader' },
    });
    expect(walk.record.at - start.record.at).toBe(1_000);
    expect(records[1]?.headers).toEqual({ traceparent: '00-1-2-03' });
    await engine.stop();
  });
});
