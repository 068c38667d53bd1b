import * as fc from 'fast-check';
import { canonicalJson, type Json } from '#lib/canonical';
import { isRejection } from '#lib/decision';
import type { CompiledStory, Value } from '#lib/story';
import { applyRecorded, BrokenFold } from './event-catalogue.js';
import { momentOf } from './moment.js';
import { scopeOf } from './moves.js';
import { offersOf } from './offers.js';
import { playthrough } from './playthrough.js';
import type { PlaythroughCommand } from './playthrough-commands.js';
import type { PlaythroughEvent } from './playthrough-events.js';
import { MAX_RETURN_DEPTH, MAX_STATE_BYTES, type PlaythroughState } from './playthrough-state.js';
import { stateFromJson, stateHash, stateToJson } from './state-json.js';
import { anySteps, anyStory, type Step } from './testing/any-play.js';
import { anyState } from './testing/any-state.js';
import { name, Player } from './testing/player.js';
import { bridge } from './testing/small-story.js';

const numRuns = process.env['FABULA_TEST_LONG'] === undefined ? 60 : 3_000;
const codes = [
  'BAD_INPUT',
  'PLAYTHROUGH_NOT_FOUND',
  'PLAYTHROUGH_ENDED',
  'CHOICE_UNKNOWN',
  'CHOICE_LOCKED',
  'STATE_TOO_LARGE',
  'TURN_STALE',
  'STORY_FAULT',
];

/** Plays the steps as far as they go; undefined when the story cannot even begin. */
function played(
  story: CompiledStory,
  steps: readonly Step[],
  watch: (player: Player, step: Step, before: PlaythroughState) => void = () => {},
): Player | undefined {
  const player = new Player(story);
  const decision = player.decide({ type: 'start', storyId: 'small', versionHash: story.hash, preview: false });
  if (isRejection(decision)) {
    expect(decision.rejected).toBe('STORY_FAULT');
    return undefined;
  }
  player.start();
  for (const step of steps) {
    const before = player.current;
    const command = commandOf(player, step);
    const outcome = player.decide(command);
    if (isRejection(outcome)) expect(codes).toContain(outcome.rejected);
    else player.send(command);
    watch(player, step, before);
  }
  return player;
}

function commandOf(player: Player, step: Step): PlaythroughCommand {
  const { current, story } = player;
  const { turn } = current;
  switch (step.do) {
    case 'choose': {
      player.now += step.wait;
      const passage = story.passage(current.narrative.passageId);
      const offers = passage === undefined ? [] : offersOf(passage, scopeOf(current));
      // Mostly what a reader can do, sometimes what stands there locked or hidden.
      const enabled = offers.filter((offer) => offer.enabled);
      const from = step.nth % 4 === 0 || enabled.length === 0 ? offers : enabled;
      return { type: 'choose', choiceId: from[step.nth % Math.max(1, from.length)]?.choiceId ?? 'none', turn };
    }
    case 'rewind':
      return { type: 'rewind', toTurn: step.to % Math.max(1, turn), turn };
    case 'checkpoint':
      return {
        type: 'setCheckpoint',
        checkpoint: { name: name(`n${step.name}`), mark: `m${step.name}`, turn: step.at % (turn + 1) },
        turn,
      };
    case 'timeOut':
      player.now = Math.max(player.now, current.deadline ?? 0);
      return { type: 'timeOut', turn };
  }
}

const property = (check: (story: CompiledStory, steps: readonly Step[]) => void): void =>
  fc.assert(fc.property(anyStory(), anySteps(), check), { numRuns });

describe('any play of any story', () => {
  it('folds again to the same states, from JSON, without the story', () => {
    property((story, steps) => {
      const player = played(story, steps);
      let state: PlaythroughState | null = null;
      for (const event of player?.events ?? []) {
        state = applyRecorded(
          state === null ? null : stateFromJson(stateToJson(state)),
          JSON.parse(canonicalJson(event)) as PlaythroughEvent,
        );
        expect(stateHash(state)).toBe(event.stateHash);
      }
      expect(state).toEqual(player?.state ?? null);
    });
  });

  it('keeps every value within its bounds, whatever the effects', () => {
    property((story, steps) => {
      for (const state of played(story, steps)?.states ?? []) {
        for (const [name, variable] of Object.entries(story.story.variables)) {
          const value = state.narrative.variables[name] as Value;
          if (variable.type === 'int')
            expect(Number.isSafeInteger(value) && (value as number) >= variable.min && (value as number) <= variable.max).toBe(true);
          else if (variable.type === 'bool') expect(typeof value).toBe('boolean');
          else if (variable.type === 'enum') expect(variable.values).toContain(value);
          else {
            const members = value as readonly string[];
            expect([...new Set(members)].sort()).toEqual(members);
            expect(members.every((member) => variable.values.includes(member))).toBe(true);
          }
        }
        expect(Object.keys(state.narrative.variables)).toEqual(Object.keys(story.story.variables));
        expect(state.narrative.returnTo.length).toBeLessThanOrEqual(MAX_RETURN_DEPTH);
        expect(new Set(state.narrative.returnTo).size).toBe(state.narrative.returnTo.length);
        expect(Buffer.byteLength(stateToJson(state))).toBeLessThanOrEqual(MAX_STATE_BYTES);
        expect(stateToJson(state)).toBe(canonicalJson(state));
      }
    });
  });

  it('never draws twice with one key, and time and turn never run backwards', () => {
    property((story, steps) => {
      const player = played(story, steps);
      const drawn = player?.events.flatMap((event) => ('draws' in event ? event.draws.map((draw) => draw.n) : [])) ?? [];
      expect(drawn).toEqual([...drawn].sort((a, b) => a - b));
      expect(new Set(drawn).size).toBe(drawn.length);
      player?.states.reduce((before, after) => {
        expect(after.turn).toBeGreaterThanOrEqual(before.turn);
        expect(after.lastAt).toBeGreaterThanOrEqual(before.lastAt);
        expect(after.narrative.draws).toBeGreaterThanOrEqual(before.narrative.draws);
        return after;
      });
    });
  });

  it('says in each event what became of the variables: changes are exactly the difference', () => {
    property((story, steps) => {
      const player = played(story, steps);
      player?.events.forEach((event, i) => {
        if (event.type !== 'ChoiceMade' && event.type !== 'TimedOut') return;
        const [before, after] = [player.states[i - 1], player.states[i]];
        const different = Object.keys(story.initialVariables).filter(
          (name) => canonicalJson(before?.narrative.variables[name]) !== canonicalJson(after?.narrative.variables[name]),
        );
        expect(event.changes.map((change) => change.name)).toEqual(different);
        for (const { name, from, to } of event.changes) {
          expect(before?.narrative.variables[name]).toEqual(from);
          expect(after?.narrative.variables[name]).toEqual(to);
        }
      });
    });
  });

  it('restores by a rewind exactly what was told then, but for the draw counter', () => {
    property((story, steps) => {
      played(story, steps, (player, step, before) => {
        if (step.do !== 'rewind' || player.current === before) return;
        const then = player.states.find((state) => state.turn === step.to % Math.max(1, before.turn));
        const last = player.states.findLast((state) => state.turn === then?.turn);
        expect(player.current.narrative).toEqual({ ...last?.narrative, draws: before.narrative.draws });
        expect(player.current.turn).toBe(before.turn + 1);
      });
    });
  });

  it('accepts exactly the visible, enabled offers of the moment', () => {
    property((story, steps) => {
      played(story, steps, (player) => {
        const { current } = player;
        const moment = momentOf(story, current);
        for (const offer of moment.offers) {
          const decision = player.decide({ type: 'choose', choiceId: offer.id, turn: current.turn });
          if (!offer.enabled) expect(decision).toMatchObject({ rejected: 'CHOICE_LOCKED' });
          // An enabled choice may still meet a fault of the story or the depth of storylets, and nothing else.
          else if (isRejection(decision)) expect(decision.rejected).toBe('STORY_FAULT');
        }
        const hidden =
          story.passage(current.narrative.passageId)?.choices.filter((choice) => !moment.offers.some((offer) => offer.id === choice.id)) ??
          [];
        for (const choice of hidden) {
          const decision = player.decide({ type: 'choose', choiceId: choice.id, turn: current.turn });
          expect(decision).toMatchObject({ rejected: current.status === 'ended' ? 'PLAYTHROUGH_ENDED' : 'CHOICE_UNKNOWN' });
        }
      });
    });
  });

  it('decides the same twice, and takes a command once: sent again it meets another turn or changes nothing', () => {
    property((story, steps) => {
      const player = new Player(story);
      if (isRejection(player.decide({ type: 'start', storyId: 'small', versionHash: story.hash, preview: false }))) return;
      player.start();
      for (const step of steps) {
        const command = commandOf(player, step);
        const first = player.decide(command);
        expect(player.decide(command)).toEqual(first);
        if (isRejection(first)) continue;
        player.send(command);
        const again = player.decide(command);
        if (command.type === 'setCheckpoint') expect(again).toEqual([]);
        else expect(again).toMatchObject({ rejected: 'TURN_STALE' });
      }
    });
  });

  it('writes records that are canonical JSON and never too large', () => {
    property((story, steps) => {
      for (const event of played(story, steps)?.events ?? []) expect(canonicalJson(event).length).toBeLessThan(120 * 1024);
    });
  });
});

describe('the plays above', () => {
  it('hold every kind of event and of refusal, so that what they show is shown of something', () => {
    const seen: Record<string, number> = {};
    const count = (what: string): void => void (seen[what] = (seen[what] ?? 0) + 1);
    for (const [story, steps] of fc.sample(fc.tuple(anyStory(), anySteps()), { seed: 7, numRuns: 300 })) {
      const player = new Player(story);
      if (isRejection(player.decide({ type: 'start', storyId: 'small', versionHash: story.hash, preview: false }))) {
        count('STORY_FAULT');
        continue;
      }
      player.start();
      for (const step of steps) {
        const decision = player.decide(commandOf(player, step));
        if (isRejection(decision)) count(decision.rejected);
        else player.send(commandOf(player, { ...step, ...(step.do === 'choose' && { wait: 0 }) }));
      }
      for (const event of player.events) {
        count(event.type);
        if ('changes' in event) {
          if (event.changes.length > 0) count('changed');
          if (event.draws.length > 0) count('drawn');
          if (event.returnTo.length > 0) count('in a storylet');
          if (event.choiceId.startsWith('storylet:')) count('storylet');
        }
      }
    }
    const expected = ['PlaythroughStarted', 'ChoiceMade', 'TimedOut', 'PlaythroughEnded', 'Rewound', 'CheckpointSet'];
    const refusals = ['CHOICE_UNKNOWN', 'CHOICE_LOCKED', 'PLAYTHROUGH_ENDED', 'STORY_FAULT'];
    for (const what of [...expected, ...refusals, 'changed', 'drawn', 'storylet', 'in a storylet']) {
      expect({ what, often: (seen[what] ?? 0) >= 20 }).toEqual({ what, often: true });
    }
    expect(seen['ChoiceMade']).toBeGreaterThan(1_000);
  });
});

describe('whatever is sent', () => {
  const garbage = fc.oneof(
    fc.anything(),
    fc.record(
      {
        type: fc.oneof(
          fc.constantFrom('start', 'choose', 'rewind', 'fork', 'setCheckpoint', 'timeOut', '__proto__', 'constructor'),
          fc.anything(),
        ),
        storyId: fc.anything(),
        versionHash: fc.anything(),
        preview: fc.anything(),
        seed: fc.anything(),
        choiceId: fc.oneof(fc.constantFrom('__proto__', 'storylet:', 'toString', 'beg'), fc.anything()),
        turn: fc.oneof(fc.constantFrom(0, -1, 1.5, NaN, Infinity, '0'), fc.anything()),
        toTurn: fc.oneof(fc.nat(3), fc.anything()),
        atTurn: fc.oneof(fc.nat(3), fc.anything()),
        from: fc.oneof(fc.constant('p1'), fc.anything()),
        checkpoint: fc.oneof(fc.anything(), fc.record({ name: fc.anything(), mark: fc.anything(), turn: fc.anything() })),
      },
      { requiredKeys: ['type'] },
    ),
  );

  it('is answered with events or a known code, and never thrown at', () => {
    const player = new Player(bridge()).start();
    player.choose('beg');
    const past = player.past(0);
    fc.assert(
      fc.property(garbage, fc.boolean(), fc.boolean(), (command, empty, withPast) => {
        const context = player.context(withPast && past !== undefined ? { past } : {});
        const decision = playthrough.decide(command as PlaythroughCommand, empty ? null : player.current, context);
        if (!isRejection(decision)) for (const event of decision) canonicalJson(event);
        else {
          expect(codes).toContain(decision.rejected);
          expect(decision.message.length).toBeGreaterThan(0);
          canonicalJson(decision);
        }
      }),
      { numRuns: numRuns * 10 },
    );
  });

  it('is answered on any state too, even one that no event leads to', () => {
    const { story } = new Player(bridge());
    fc.assert(
      fc.property(anyState(), garbage, (state, command) => {
        const context = { story, now: 5, playthroughId: state.id, reader: state.reader, entropy: 'e'.repeat(32) };
        const pinned = { ...state, versionHash: story.hash, narrative: { ...state.narrative, passageId: 'start' } };
        const commands = [
          command as PlaythroughCommand,
          { type: 'choose', choiceId: 'beg', turn: state.turn },
          { type: 'timeOut', turn: state.turn },
        ] as const;
        for (const one of commands) {
          const decision = playthrough.decide(one, pinned, context);
          if (isRejection(decision)) expect(codes).toContain(decision.rejected);
        }
      }),
      { numRuns },
    );
  });

  it('never folds into a state that the event does not name', () => {
    const player = new Player(bridge()).start();
    for (const id of ['beg', 'camp', 'storylet:dice', 'roll']) player.choose(id);
    let refused = 0;
    fc.assert(
      fc.property(fc.nat(player.events.length - 1), fc.nat(), fc.oneof(fc.anything(), fc.constant(undefined)), (i, nth, wrong) => {
        const event = player.events[i] as PlaythroughEvent;
        const folded = [
          'turn',
          'changes',
          'toPassageId',
          'entered',
          'returnTo',
          'at',
          'deadline',
          'narrative',
          'seed',
          'reader',
          'stateHash',
        ].filter((field) => field in event);
        const field = folded[nth % folded.length] as string;
        const original = (event as unknown as Record<string, Json>)[field];
        fc.pre(JSON.stringify(wrong) !== JSON.stringify(original));
        const changed = { ...event, [field]: wrong } as unknown as PlaythroughEvent;
        // Some wrong values mean the same (a number for true); then the state is the same too.
        let state: PlaythroughState | undefined;
        try {
          state = applyRecorded(player.states[i - 1] ?? null, changed);
        } catch (error) {
          expect(error).toBeInstanceOf(BrokenFold);
          refused++;
        }
        if (state !== undefined) expect(state).toEqual(player.states[i]);
      }),
      { numRuns: numRuns * 4 },
    );
    expect(refused).toBeGreaterThan(numRuns);
  });
});
