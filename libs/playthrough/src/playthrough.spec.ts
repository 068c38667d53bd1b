import { MAX_CHECKPOINTS, MAX_RETURN_DEPTH, MAX_STATE_BYTES } from './playthrough-state.js';
import { derivedPlaythroughId } from './playthrough-ids.js';
import { stateToJson } from './state-json.js';
import { add, bridge, choice, expr, int, passage, set, story } from './testing/small-story.js';
import { name, Player, READER, SEED } from './testing/player.js';
import { dueTimeOut } from './time-out.js';
import type { CompiledStory } from '#lib/story';

const started = (of: CompiledStory = bridge()): Player => new Player(of).start();

describe('starting a playthrough', () => {
  it('enters the start passage on turn 0 with the defaults of all variables', () => {
    const { current } = started();
    expect(current).toMatchObject({ id: 'p1', reader: READER, seed: SEED, turn: 0, status: 'active', preview: false, forkedFrom: null });
    expect(current.narrative).toMatchObject({ passageId: 'start', visits: { start: 1 }, chosen: {}, ending: null });
    expect(current.narrative.variables).toEqual({ bag: [], die: 1, gold: 1, has_rope: false, weather: 'sun' });
  });

  it('runs the effects of the start passage and ends at once where that is an ending', () => {
    const over = story({ start: passage([], { ending: 'good', effects: [add('gold', '2')] }) }, { gold: int(0, 5) });
    const player = started(over);
    expect(player.events.map((event) => event.type)).toEqual(['PlaythroughStarted', 'PlaythroughEnded']);
    expect(player.current).toMatchObject({ status: 'ended', narrative: { ending: 'good', variables: { gold: 2 } } });
  });

  it('is refused for another story or version, and for a seed outside a preview', () => {
    const player = new Player(bridge());
    const command = { type: 'start', storyId: 'small', versionHash: player.story.hash, preview: false } as const;
    expect(player.rejection({ ...command, storyId: 'other' })).toMatchObject({ rejected: 'BAD_INPUT', details: { field: 'storyId' } });
    expect(player.rejection({ ...command, versionHash: '0'.repeat(64) })).toMatchObject({
      rejected: 'BAD_INPUT',
      details: { field: 'versionHash' },
    });
    expect(player.rejection({ ...command, seed: 'mine' })).toMatchObject({ rejected: 'BAD_INPUT', details: { field: 'seed' } });
    player.send({ ...command, preview: true, seed: 'mine' });
    expect(player.current.seed).toMatch(/^[0-9a-f]{32}$/);
    expect(player.current.preview).toBe(true);
  });

  it('meets TURN_STALE on a stream that is begun, so that an old retry finds its first answer', () => {
    const player = started();
    const again = { type: 'start', storyId: 'small', versionHash: player.story.hash, preview: false } as const;
    expect(player.rejection(again)).toMatchObject({ rejected: 'TURN_STALE', details: { turn: 0 } });
    expect(player.rejection(again, { reader: 'r-other' }).rejected).toBe('PLAYTHROUGH_NOT_FOUND');
  });
});

describe('choosing', () => {
  it('records what was offered, what the guards read, what changed and when', () => {
    const player = started();
    player.now += 1_500;
    const [event] = player.choose('beg');
    expect(event).toMatchObject({
      type: 'ChoiceMade',
      turn: 1,
      fromPassageId: 'start',
      toPassageId: 'start',
      entered: true,
      choiceId: 'beg',
      ordinal: 1,
      decisionMs: 1_500,
      changes: [{ name: 'gold', from: 1, to: 2 }],
      offered: [
        { choiceId: 'cross', visible: true, enabled: false, failed: 'gold >= 3' },
        { choiceId: 'beg', visible: true, enabled: true },
        { choiceId: 'look', visible: true, enabled: true },
        { choiceId: 'camp', visible: true, enabled: true },
        { choiceId: 'give-up', visible: true, enabled: true },
      ],
    });
    expect(player.current.narrative).toMatchObject({ chosen: { 'start/beg': 1 }, visits: { start: 2 } });
    expect(player.choose('look')[0]).toMatchObject({ guardInputs: { bag: [] } });
  });

  it('answers TURN_STALE, CHOICE_UNKNOWN and CHOICE_LOCKED, and changes nothing', () => {
    const player = started();
    expect(player.rejection({ type: 'choose', choiceId: 'beg', turn: 1 })).toMatchObject({
      rejected: 'TURN_STALE',
      details: { turn: 0, seen: 1 },
    });
    expect(player.rejection({ type: 'choose', choiceId: 'fly', turn: 0 }).rejected).toBe('CHOICE_UNKNOWN');
    expect(player.rejection({ type: 'choose', choiceId: 'cross', turn: 0 })).toEqual({
      rejected: 'CHOICE_LOCKED',
      message: 'The ferryman wants three coins and a rope.',
      details: { choiceId: 'cross', reason: 'The ferryman wants three coins and a rope.', failed: 'gold >= 3' },
    });
    player.choose('beg');
    expect(player.rejection({ type: 'choose', choiceId: 'beg', turn: 1 }).rejected).toBe('CHOICE_UNKNOWN');
    player.choose('look');
    expect(player.rejection({ type: 'choose', choiceId: 'look', turn: 2 }).rejected).toBe('CHOICE_UNKNOWN');
  });

  it('answers PLAYTHROUGH_NOT_FOUND to anybody else, and where there is none', () => {
    const player = started();
    const commands = [
      { type: 'choose', choiceId: 'beg', turn: 0 },
      { type: 'rewind', toTurn: 0, turn: 0 },
      { type: 'setCheckpoint', checkpoint: { name: name('a'), mark: 'm', turn: 0 }, turn: 0 },
    ] as const;
    for (const command of commands) {
      expect(player.rejection(command, { reader: 'r-other' }).rejected).toBe('PLAYTHROUGH_NOT_FOUND');
      expect(new Player(bridge()).rejection(command).rejected).toBe('PLAYTHROUGH_NOT_FOUND');
    }
  });

  it('ends in place without a visit, and takes nothing after the end', () => {
    const player = started();
    const [moved, over] = player.choose('give-up');
    expect(moved).toMatchObject({ type: 'ChoiceMade', toPassageId: 'start', entered: false });
    expect(over).toMatchObject({ type: 'PlaythroughEnded', turn: 1, passageId: 'start', ending: 'bad' });
    expect(player.current).toMatchObject({ status: 'ended', turn: 1, deadline: null, narrative: { ending: 'bad', visits: { start: 1 } } });
    expect(player.rejection({ type: 'choose', choiceId: 'beg', turn: 1 }).rejected).toBe('PLAYTHROUGH_ENDED');
    expect(player.rejection({ type: 'choose', choiceId: 'beg', turn: 0 }).rejected).toBe('TURN_STALE');
  });

  it('keeps its own time when the clock it is given stands back', () => {
    const player = started();
    const { now } = player;
    player.now -= 60_000;
    expect(player.choose('beg')[0]).toMatchObject({ at: now, decisionMs: 0 });
    expect(player.current.lastAt).toBe(now);
  });

  it('shows choice effects the old turn and count, and passage effects the new ones', () => {
    const seen = story(
      {
        start: passage([choice('go', 'there', { effects: [set('turn_then', 'turn'), set('count_then', "chosen('start/go')")] })]),
        there: passage([choice('end', { end: 'good' })], {
          effects: [set('turn_now', 'turn'), set('count_now', "chosen('start/go') + visits('there') * 10")],
        }),
      },
      { turn_then: int(-1, 99), count_then: int(-1, 99), turn_now: int(-1, 99), count_now: int(-1, 99) },
    );
    const player = started(seen);
    player.choose('go');
    expect(player.current.narrative.variables).toEqual({ turn_then: 0, count_then: 0, turn_now: 1, count_now: 11 });
  });

  it('cuts ints to their bounds and records one net change per variable', () => {
    const cut = story(
      {
        start: passage([
          choice('go', 'start', {
            effects: [add('gold', '100'), add('gold', '-3'), set('left', '0 - 50'), set('same', '5'), set('same', '0')],
          }),
        ]),
      },
      { gold: int(0, 10, 4), left: int(-5, 5, 0), same: int(0, 9) },
    );
    const player = started(cut);
    expect(player.choose('go')[0]).toMatchObject({
      changes: [
        { name: 'gold', from: 4, to: 7 },
        { name: 'left', from: 0, to: -5 },
      ],
    });
  });

  it('treats a guard that cannot be evaluated as not met, and refuses an effect that cannot', () => {
    const faulty = story(
      {
        start: passage([
          choice('divide', 'start', { enabledWhen: '1 / zero > 0' }),
          choice('hide', 'start', { visibleWhen: 'big * big > 0' }),
          choice('spoil', 'start', { effects: [set('zero', 'big * big')] }),
          choice('fine', 'start', { effects: [{ do: 'add', variable: 'zero', by: expr('1'), when: expr('1 / zero > 0') }] }),
        ]),
      },
      { zero: int(0, 5), big: int(0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) },
    );
    const player = started(faulty);
    expect(player.rejection({ type: 'choose', choiceId: 'divide', turn: 0 })).toMatchObject({ rejected: 'CHOICE_LOCKED' });
    expect(player.rejection({ type: 'choose', choiceId: 'hide', turn: 0 }).rejected).toBe('CHOICE_UNKNOWN');
    expect(player.rejection({ type: 'choose', choiceId: 'spoil', turn: 0 }).rejected).toBe('STORY_FAULT');
    const [event] = player.choose('fine');
    expect(event).toMatchObject({
      changes: [],
      offered: [{ failed: expect.stringContaining('divides by zero') }, { failed: expect.stringContaining('safe integers') }, {}, {}],
    });
  });
});

describe('storylets', () => {
  it('are offered by priority up to the limit, and lead back to their hub', () => {
    const player = started();
    player.choose('camp');
    expect(player.choose('storylet:peddler')[0]).toMatchObject({
      toPassageId: 'peddler',
      returnTo: ['camp'],
      guardInputs: { has_rope: false },
      offered: [
        { choiceId: 'leave' },
        { choiceId: 'storylet:peddler' },
        { choiceId: 'storylet:dice' },
        { choiceId: 'sleep', visible: false },
      ],
    });
    expect(player.choose('buy')[0]).toMatchObject({ toPassageId: 'camp', returnTo: [], entered: true });
    expect(player.rejection({ type: 'choose', choiceId: 'storylet:peddler', turn: 3 }).rejected).toBe('CHOICE_UNKNOWN');
    expect(player.current.narrative.chosen).toMatchObject({ 'camp/storylet:peddler': 1 });
  });

  it('forget the way back when a link leads to the hub itself', () => {
    const player = started();
    player.choose('camp');
    for (let i = 0; i < 2 * MAX_RETURN_DEPTH; i++) {
      player.choose('storylet:peddler');
      expect(player.current.narrative.returnTo).toEqual(['camp']);
      player.choose('no');
      expect(player.current.narrative.returnTo).toEqual([]);
    }
  });

  it('stop at the limit of the hub, those of the highest priority first and equals by id', () => {
    const night = (priority: number) => passage([choice('back', { return: true })], { tags: ['night'], offerWhen: expr('true'), priority });
    const hub = passage([], { storylets: { tag: 'night', limit: 2 } });
    const player = started(story({ start: hub, c: night(0), b: night(5), a: night(5), d: night(9) }));
    player.choose('storylet:a');
    expect(player.events.at(-1)).toMatchObject({ offered: [{ choiceId: 'storylet:d' }, { choiceId: 'storylet:a' }] });
    player.choose('back');
    expect(player.rejection({ type: 'choose', choiceId: 'storylet:b', turn: 2 }).rejected).toBe('CHOICE_UNKNOWN');
  });

  it('go to the start passage where there is nothing to come back to', () => {
    const lost = story({ start: passage([choice('go', 'away')]), away: passage([choice('back', { return: true })]) });
    const player = started(lost);
    player.choose('go');
    expect(player.choose('back')[0]).toMatchObject({ toPassageId: 'start', entered: true, returnTo: [] });
  });

  it(`are refused deeper than ${MAX_RETURN_DEPTH}, with the way out named`, () => {
    const hub = (id: number) =>
      passage([choice('back', { return: true })], {
        title: `Hub ${id}`,
        tags: [`t${id}`],
        offerWhen: expr('true'),
        storylets: { tag: `t${id + 1}`, limit: 1 },
      });
    const hubs = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`hub-${i}`, hub(i)]));
    const deep = story({
      start: passage([choice('in', 'hub-0')]),
      ...hubs,
      last: passage([choice('back', { return: true })], { tags: ['t20'], offerWhen: expr('true') }),
    });
    const player = started(deep);
    player.choose('in');
    for (let i = 1; i <= MAX_RETURN_DEPTH; i++) player.choose(`storylet:hub-${i}`);
    expect(player.current.narrative.returnTo).toHaveLength(MAX_RETURN_DEPTH);
    const refused = player.rejection({ type: 'choose', choiceId: `storylet:hub-${MAX_RETURN_DEPTH + 1}`, turn: player.current.turn });
    expect(refused).toMatchObject({ rejected: 'STORY_FAULT', details: { what: 'returnTo', limit: MAX_RETURN_DEPTH } });
    expect(player.choose('back')[0]).toMatchObject({ toPassageId: `hub-${MAX_RETURN_DEPTH - 1}` });
  });
});

describe('fallbacks', () => {
  it('are offered only when nothing else can be selected', () => {
    const inn = story(
      {
        start: passage([
          choice('wait', 'start', { kind: 'fallback', effects: [add('gold', '1')] }),
          choice('pay', { end: 'good' }, { enabledWhen: 'gold > 1' }),
        ]),
      },
      { gold: int(0, 9) },
    );
    const player = started(inn);
    player.choose('wait');
    player.choose('wait');
    expect(player.rejection({ type: 'choose', choiceId: 'wait', turn: 2 }).rejected).toBe('CHOICE_UNKNOWN');
    expect(player.choose('pay')[0]).toMatchObject({
      offered: [
        { choiceId: 'pay', enabled: true },
        { choiceId: 'wait', visible: false },
      ],
    });
  });
});

describe('timed choices', () => {
  const across = (): Player => {
    const player = started();
    for (const id of ['beg', 'camp', 'storylet:peddler']) player.choose(id);
    player.choose('buy');
    player.choose('leave');
    // The dice decide how often; at most this many throws are needed with this seed.
    while ((player.current.narrative.variables['gold'] as number) < 3) {
      player.choose('camp');
      player.choose('storylet:dice');
      for (let i = 0; i < 40 && (player.current.narrative.variables['gold'] as number) < 3; i++) player.choose('roll');
      player.choose('back');
      player.choose('leave');
    }
    player.choose('cross');
    return player;
  };

  it('are taken by the system at their deadline, never before', () => {
    const player = across();
    expect(player.current.deadline).toBe(player.now + 5_000);
    const { turn } = player.current;
    player.now += 4_999;
    expect(player.rejection({ type: 'timeOut', turn }).rejected).toBe('BAD_INPUT');
    player.now += 1;
    expect(player.rejection({ type: 'timeOut', turn: turn - 1 }).rejected).toBe('TURN_STALE');
    const events = player.send({ type: 'timeOut', turn }, { reader: 's' });
    expect(events).toMatchObject([
      {
        type: 'TimedOut',
        choiceId: 'caught',
        turn: turn + 1,
        offered: [{ choiceId: 'run' }],
        guardInputs: { weather: expect.any(String) },
      },
      { type: 'PlaythroughEnded', ending: 'bad' },
    ]);
    expect(player.rejection({ type: 'timeOut', turn: turn + 1 }).rejected).toBe('PLAYTHROUGH_ENDED');
  });

  it('are due only after the grace, under an id that is the same for all who find them', () => {
    const { current } = across();
    const deadline = current.deadline as number;
    expect(dueTimeOut(current, deadline + 250)).toBeUndefined();
    expect(dueTimeOut(current, deadline + 251)).toEqual({
      command: { type: 'timeOut', turn: current.turn },
      commandId: `s:timeout:p1:${current.turn}`,
    });
    expect(dueTimeOut(null, deadline)).toBeUndefined();
    expect(dueTimeOut({ ...current, status: 'ended' }, deadline + 251)).toBeUndefined();
  });

  it('cannot be chosen, and are gone when the reader was quick enough', () => {
    const player = across();
    expect(player.rejection({ type: 'choose', choiceId: 'caught', turn: player.current.turn }).rejected).toBe('CHOICE_UNKNOWN');
    player.now += 5_200;
    player.choose('run');
    expect(player.current).toMatchObject({ status: 'ended', deadline: null, narrative: { ending: 'good', passageId: 'home' } });
  });

  it('are given their whole time again by a rewind', () => {
    const player = across();
    const { turn } = player.current;
    player.choose('run');
    player.now += 60_000;
    player.send({ type: 'rewind', toTurn: turn, turn: turn + 1 });
    expect(player.current).toMatchObject({ status: 'active', deadline: player.now + 5_000, turn: turn + 2 });
  });
});

describe('rewinding', () => {
  it('restores the narrative, adds a turn, and never repeats a draw', () => {
    const player = started();
    player.choose('camp');
    player.choose('storylet:dice');
    player.choose('roll');
    const before = player.current;
    player.send({ type: 'rewind', toTurn: 2, turn: 3 });
    expect(player.current).toMatchObject({ turn: 4, status: 'active', checkpoints: [] });
    expect(player.current.narrative).toEqual({
      ...player.states.find((state) => state.turn === 2)?.narrative,
      draws: before.narrative.draws,
    });
    player.choose('roll');
    const drawn = player.events.flatMap((event) => ('draws' in event ? event.draws.map((draw) => draw.n) : []));
    expect(new Set(drawn).size).toBe(drawn.length);
    expect(drawn).toHaveLength(3);
  });

  it('wakes an ended playthrough, and goes back to an ending as one', () => {
    const player = started();
    player.choose('give-up');
    player.send({ type: 'rewind', toTurn: 0, turn: 1 });
    expect(player.current).toMatchObject({ status: 'active', turn: 2, narrative: { ending: null } });
    player.send({ type: 'rewind', toTurn: 1, turn: 2 });
    expect(player.current).toMatchObject({ status: 'ended', turn: 3, narrative: { ending: 'bad' } });
  });

  it('is refused to this turn, to a later one, to one that is not there, and across versions', () => {
    const player = started();
    player.choose('beg');
    expect(player.rejection({ type: 'rewind', toTurn: 1, turn: 1 }).rejected).toBe('BAD_INPUT');
    expect(player.rejection({ type: 'rewind', toTurn: 9, turn: 1 }).rejected).toBe('BAD_INPUT');
    expect(player.rejection({ type: 'rewind', toTurn: 0, turn: 0 }).rejected).toBe('TURN_STALE');
    const past = player.past(0);
    if (past === undefined) throw new Error('turn 0 is there');
    expect(player.rejection({ type: 'rewind', toTurn: 0, turn: 1 }, { past: { ...past, versionHash: 'f'.repeat(64) } }).rejected).toBe(
      'BAD_INPUT',
    );
    expect(player.rejection({ type: 'rewind', toTurn: 0, turn: 1 }, { past: { ...past, reader: 'r-other' } }).rejected).toBe(
      'PLAYTHROUGH_NOT_FOUND',
    );
    const { past: _, ...without } = player.context({ past });
    expect(new Player(player.story).rejection({ type: 'rewind', toTurn: 0, turn: 1 }, without).rejected).toBe('PLAYTHROUGH_NOT_FOUND');
  });
});

describe('what-ifs', () => {
  const forked = (): { source: Player; fork: Player } => {
    const source = started();
    source.choose('camp');
    source.choose('storylet:dice');
    source.choose('roll');
    const fork = new Player(source.story, 'p2');
    const past = source.past(2);
    if (past === undefined) throw new Error('turn 2 is there');
    fork.send({ type: 'fork', from: 'p1', atTurn: 2 }, { past });
    return { source, fork };
  };

  it("begin at the source's turn, with its narrative and a seed of their own", () => {
    const { source, fork } = forked();
    expect(fork.current).toMatchObject({ id: 'p2', turn: 2, status: 'active', forkedFrom: { playthroughId: 'p1', turn: 2 } });
    expect(fork.current.narrative).toEqual(source.states.find((state) => state.turn === 2)?.narrative);
    expect(fork.current.seed).not.toBe(source.current.seed);
    expect(fork.current.seed).toBe(forked().fork.current.seed);
    fork.choose('roll');
    expect(fork.rejection({ type: 'rewind', toTurn: 1, turn: 3 }).rejected).toBe('BAD_INPUT');
    fork.send({ type: 'rewind', toTurn: 2, turn: 3 });
    expect(fork.current.turn).toBe(4);
  });

  it("are not made from somebody else's playthrough, from a turn that is not there, or twice", () => {
    const { source, fork } = forked();
    const past = source.past(2);
    if (past === undefined) throw new Error('turn 2 is there');
    const empty = new Player(source.story, 'p3');
    expect(empty.rejection({ type: 'fork', from: 'p1', atTurn: 2 }, { past: { ...past, reader: 'r-other' } }).rejected).toBe(
      'PLAYTHROUGH_NOT_FOUND',
    );
    expect(empty.rejection({ type: 'fork', from: 'p1', atTurn: 2 }).rejected).toBe('PLAYTHROUGH_NOT_FOUND');
    expect(fork.rejection({ type: 'fork', from: 'p1', atTurn: 2 }, { past }).rejected).toBe('TURN_STALE');
  });

  it('have ids that follow from who asked and how often', () => {
    const id = derivedPlaythroughId(READER, 'c:1');
    expect(id).toBe('0853e374-a00c-8679-b006-26e429429fd5');
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(derivedPlaythroughId(READER, 'c:2')).not.toBe(id);
    expect(derivedPlaythroughId('r-other', 'c:1')).not.toBe(id);
  });
});

describe('checkpoints', () => {
  const mark = (text: string, at: number, turn: number) =>
    ({ type: 'setCheckpoint', checkpoint: { name: name(text), mark: text, turn: at }, turn }) as const;

  it('are set once per name and turn, and repeating one records nothing', () => {
    const player = started();
    expect(player.send(mark('a', 0, 0))).toHaveLength(1);
    expect(player.send(mark('a', 0, 0))).toEqual([]);
    player.choose('beg');
    expect(player.send(mark('a', 0, 0))).toEqual([]);
    expect(player.send(mark('a', 1, 1))).toHaveLength(1);
    expect(player.send(mark('b', 0, 1))).toHaveLength(1);
    expect(player.current.checkpoints.map(({ mark, turn }) => [mark, turn])).toEqual([
      ['a', 0],
      ['a', 1],
      ['b', 0],
    ]);
    expect(player.rejection(mark('c', 0, 0)).rejected).toBe('TURN_STALE');
    expect(player.rejection(mark('c', 2, 1)).rejected).toBe('BAD_INPUT');
  });

  it('survive rewinds and the end', () => {
    const player = started();
    player.choose('give-up');
    player.send(mark('end', 1, 1));
    player.send({ type: 'rewind', toTurn: 0, turn: 1 });
    expect(player.current.checkpoints).toHaveLength(1);
  });

  it(`are at most ${MAX_CHECKPOINTS}`, () => {
    const player = started();
    for (let i = 0; i < MAX_CHECKPOINTS; i++) player.send(mark(`m${i}`, 0, 0));
    expect(player.rejection(mark('more', 0, 0))).toMatchObject({
      rejected: 'STATE_TOO_LARGE',
      details: { what: 'checkpoints', limit: MAX_CHECKPOINTS },
    });
    expect(player.send(mark('m0', 0, 0))).toEqual([]);
  });
});

describe('the size of a state', () => {
  it('is bounded: a move that would pass 64 KiB is refused and named', () => {
    const rooms = Array.from({ length: 700 }, (_, i) => `${'x'.repeat(80)}-${i}`);
    const passages = Object.fromEntries(rooms.map((id, i) => [id, passage([choice('next', rooms[(i + 1) % rooms.length] as string)])]));
    const player = started(story(passages, {}, rooms[0]));
    let refused;
    for (let i = 0; i < rooms.length && refused === undefined; i++) {
      const decision = player.decide({ type: 'choose', choiceId: 'next', turn: player.current.turn });
      if ('rejected' in decision) refused = decision;
      else player.choose('next');
    }
    expect(refused).toMatchObject({ rejected: 'STATE_TOO_LARGE', details: { limit: MAX_STATE_BYTES } });
    expect(Buffer.byteLength(stateToJson(player.current))).toBeGreaterThan(MAX_STATE_BYTES - 400);
  });

  it('is refused too when only its record would not fit, though before and after it do', () => {
    const members = Array.from({ length: 64 }, (_, i) => `${'橋'.repeat(110)}${i}`);
    const names = Array.from({ length: 8 }, (_, i) => `bag_${i}`);
    const bags = Object.fromEntries(names.map((bag) => [bag, { type: 'set', public: true, values: members, default: [] } as const]));
    const full = members.slice(0, 20);
    const fill = names.map((bag) => ({ do: 'set', variable: bag, to: { op: 'set', members: full } }) as const);
    const other = names.map((bag) => ({ do: 'set', variable: bag, to: { op: 'set', members: members.slice(40, 61) } }) as const);
    const player = started(
      story(
        {
          start: passage([
            choice('fill', 'start', { effects: fill }),
            choice('other', 'start', { effects: other, enabledWhen: names.map((bag) => `size(${bag}) > 0`).join(' && ') }),
            choice('on', 'start'),
          ]),
        },
        bags,
      ),
    );
    player.choose('fill');
    expect(Buffer.byteLength(stateToJson(player.current))).toBeGreaterThan(50_000);
    player.choose('on');
    const refused = player.rejection({ type: 'choose', choiceId: 'other', turn: 2 });
    expect(refused).toMatchObject({ rejected: 'STATE_TOO_LARGE', message: expect.stringContaining('the record') });
  });
});
