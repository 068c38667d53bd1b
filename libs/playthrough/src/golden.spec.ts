import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { UnknownEvent, upcast, type EventSchema, type RecordedEvent } from '#lib/decision';
import { applyRecorded, BrokenFold, playthroughEvents } from './event-catalogue.js';
import type { PlaythroughState } from './playthrough-state.js';
import { stateHash } from './state-json.js';
import { goldenPlays } from './testing/golden-plays.js';

/*
 * Golden files are streams as they were once written: they must be readable for ever. They are never made again for an old version of an
 * event; a new version adds files. `FABULA_TEST_WRITE_GOLDEN=1` writes those of today's versions.
 */
const folder = path.join(__dirname, 'golden');

interface Golden {
  readonly events: readonly RecordedEvent[];
  /** Hash of the state after each event. */
  readonly stateHashes: readonly string[];
}

if (process.env['FABULA_TEST_WRITE_GOLDEN'] !== undefined) {
  mkdirSync(folder, { recursive: true });
  for (const [file, player] of Object.entries(goldenPlays())) {
    const golden: Golden = { events: player.events, stateHashes: player.states.map(stateHash) };
    writeFileSync(path.join(folder, `${file}-v1.json`), `${JSON.stringify(golden, null, 2)}\n`);
  }
}

const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
const read = (file: string): Golden => JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as Golden;

describe('streams written by earlier versions', () => {
  it.each(files)('%s folds to the states it was written with', (file) => {
    const golden = read(file);
    let state: PlaythroughState | null = null;
    const hashes = golden.events.map((event) => {
      state = applyRecorded(state, event);
      return stateHash(state);
    });
    expect(hashes).toEqual(golden.stateHashes);
    expect(hashes.length).toBeGreaterThan(0);
  });

  it('hold every event type in every version', () => {
    const held = new Set(files.flatMap((file) => read(file).events.map((event) => `${event.type} v${event.v}`)));
    const known = [...playthroughEvents].flatMap(([type, { version }]) => Array.from({ length: version }, (_, i) => `${type} v${i + 1}`));
    expect([...held].sort()).toEqual(known.sort());
  });

  it("are still written by today's decisions, event for event", () => {
    for (const [file, player] of Object.entries(goldenPlays())) {
      expect(JSON.parse(JSON.stringify(player.events))).toEqual(read(`${file}-v1.json`).events);
    }
  });
});

describe('the catalogue of events', () => {
  const golden = (): Golden => read('playthrough-v1.json');

  it('has an upcaster for each step to the current version', () => {
    for (const [type, schema] of playthroughEvents)
      expect({ type, upcasters: schema.upcasters.length }).toEqual({ type, upcasters: schema.version - 1 });
  });

  it('brings old events to the current version, one step at a time', () => {
    // As if v2 had renamed `toTurn`, and v3 had added a cause.
    const later = new Map<string, EventSchema>(playthroughEvents);
    later.set('Rewound', {
      version: 3,
      upcasters: [({ toTurn, ...event }) => ({ ...event, v: 2, target: toTurn ?? null }), (event) => ({ ...event, v: 3, cause: 'reader' })],
    });
    const old = golden().events.find((event) => event.type === 'Rewound');
    if (old === undefined) throw new Error('the file holds a Rewound');
    expect(upcast(old, later)).toMatchObject({ v: 3, target: 6, cause: 'reader', turn: old['turn'] });
    expect(upcast({ ...old, v: 2, target: 5 }, later)).toMatchObject({ v: 3, target: 5, cause: 'reader' });
    let state: PlaythroughState | null = null;
    for (const event of golden().events) state = applyRecorded(state, event, later);
    expect(stateHash(state as unknown as PlaythroughState)).toBe(golden().stateHashes.at(-1));
  });

  it('refuses events of a newer Fabula, and events that lead elsewhere than they say', () => {
    const [first, second] = golden().events as [RecordedEvent, RecordedEvent];
    expect(() => applyRecorded(null, { ...first, v: 2 })).toThrow(UnknownEvent);
    expect(() => applyRecorded(null, { ...first, type: 'PassageNarrated' })).toThrow(UnknownEvent);
    expect(() => applyRecorded(null, second)).toThrow(BrokenFold);
    expect(() => applyRecorded(applyRecorded(null, first), { ...second, toPassageId: 'home' })).toThrow(BrokenFold);
    expect(() => applyRecorded(null, { type: 'PlaythroughStarted', v: 1 })).toThrow(BrokenFold);
    const unprintable = JSON.parse('{"toString":null}') as RecordedEvent;
    expect(() => applyRecorded(null, { ...first, stateHash: unprintable })).toThrow(BrokenFold);
    expect(() => applyRecorded(applyRecorded(null, first), { ...second, stateHash: '', turn: unprintable })).toThrow(BrokenFold);
  });
});
