import { decodeRecord, isRejection, type EventSchema, type RecordedEvent } from '#lib/decision';
import { playthroughEvents } from '#lib/playthrough';
import { playthroughKind } from './kinds.js';
import { begun } from './testing/begun.js';
import { accepted, chooseRequest, failure, startRequest } from './testing/fixture.js';

const without = (event: RecordedEvent, field: string): RecordedEvent => ({
  ...Object.fromEntries(Object.entries(event).filter(([name]) => name !== field)),
  type: event.type,
  v: event.v,
});
type Spoil = (event: RecordedEvent) => RecordedEvent;

/** From now on, what is decided on that stream is spoilt on its way to the log. */
function plant(stream: string, spoil: Spoil): void {
  const decide = playthroughKind.decide.bind(playthroughKind);
  jest.spyOn(playthroughKind, 'decide').mockImplementation((command, state, context) => {
    const decision = decide(command, state, context);
    return isRejection(decision) || context.stream !== stream ? decision : decision.map(spoil);
  });
}

const spoilt: readonly (readonly [string, Spoil, RegExp])[] = [
  ['lacks a field', (event) => without(event, 'labelHash'), /ChoiceMade v1\.labelHash: is missing/],
  ['has a field that nobody knows', (event) => ({ ...event, mood: 'gloomy' }), /ChoiceMade v1\.mood: is not a field of it/],
  ['has a field of another type', (event) => ({ ...event, turn: '1' }), /ChoiceMade v1\.turn: must be a whole number/],
  ['is of a type without a schema', (event) => ({ ...event, type: 'PassageNarrated' }), /PassageNarrated: there is no schema/],
  ['is of a version that is not written yet', (event) => ({ ...event, v: 2 }), /ChoiceMade v2: version 1 is what is written/],
  [
    'is wrong deep inside',
    (event) => ({ ...event, offered: [{ choiceId: 'walk', visible: true, enabled: 1 }] }),
    /ChoiceMade v1\.offered\[0\]\.enabled: must be true or false/,
  ],
];

describe('A defect in a decider', () => {
  afterEach(() => jest.restoreAllMocks());

  it.each(spoilt)(
    'whose event %s costs its own command: INTERNAL with an alarm, nothing is appended, others of the batch go on',
    async (_, spoil, alarm) => {
      const { engine, gate, id, log, alarms } = await begun();
      gate.open = true;
      const other = await accepted(engine.execute(startRequest()));
      const end = await log.end(0);
      plant(`playthrough/${id}`, spoil);
      const bad = failure(engine.execute(chooseRequest(id, 0)));
      const good = accepted(engine.execute(chooseRequest(other.state.id, 0)));
      expect(await bad).toBe('INTERNAL');
      expect((await good).turn).toBe(1);
      expect(alarms).toEqual([expect.stringMatching(alarm)]);
      expect(await log.end(0)).toBe(end + 1);
      for await (const { records } of log.read(0, end, { upTo: end + 1 })) {
        for (const { value } of records) expect(decodeRecord(value)).toMatchObject({ record: { stream: `playthrough/${other.state.id}` } });
      }
      // Mended, the very playthrough goes on from the turn that it was on.
      jest.restoreAllMocks();
      expect((await accepted(engine.execute(chooseRequest(id, 0)))).turn).toBe(1);
      await engine.stop();
    },
  );
});

describe('A version that this release reads and the next one writes', () => {
  const catalogue = playthroughEvents as Map<string, EventSchema>;
  const now = catalogue.get('ChoiceMade') as EventSchema;
  afterEach(() => void catalogue.set('ChoiceMade', now));

  it('is what a decision of the old version is folded as, at once and from the log; the log gets the old version', async () => {
    const { engine, gate, id, log, another } = await begun();
    gate.open = true;
    const up = jest.fn((event: RecordedEvent): RecordedEvent => ({ ...event, v: 2 }));
    catalogue.set('ChoiceMade', { version: 2, upcasters: [up] });
    const { offset, state } = await accepted(engine.execute(chooseRequest(id, 0)));
    // By the decider for the state hash, and by the engine for its hot state.
    expect(up).toHaveBeenCalledTimes(2);
    for await (const { records } of log.read(0, offset, { upTo: offset + 1 })) {
      expect(decodeRecord((records[0] as { value: Uint8Array }).value)).toMatchObject({
        record: { events: [{ type: 'ChoiceMade', v: 1 }] },
      });
    }
    await engine.stop();
    const next = another();
    await next.start();
    const after = await accepted(next.execute(chooseRequest(id, 1)));
    expect(after.state.narrative.variables).toEqual({ ...state.narrative.variables, steps: 2 });
    await next.stop();
  });
});
