import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Json } from '#lib/canonical';
import {
  eventProblem,
  shapes as shape,
  upcast,
  type EventSchema,
  type EventShapes,
  type ObjectShape,
  type RecordedEvent,
  type Shape,
} from '#lib/decision';
import { playthroughEvents } from '#lib/playthrough';
import { catalogue, release, shapes } from '../schemas/repository.js';
import { linesOf, replay, type Led } from './replay.js';

/*
 * Logs as earlier releases really wrote them, byte for byte: they must be read for ever. `FABULA_TEST_WRITE_GOLDEN=1` makes those of the last
 * release, once.
 */
const { constant, object, text } = shape;
const folder = __dirname;
if (process.env['FABULA_TEST_WRITE_GOLDEN'] !== undefined)
  beforeAll(async () => (await import('./write-golden.js')).writeGolden(folder, release().version), 300_000);

const versions = (): readonly string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith('.ndjson'))
    .map((file) => file.slice(0, -'.ndjson'.length));
const lines = (version: string): readonly Buffer[] => linesOf(readFileSync(path.join(folder, `${version}.ndjson`)));
const led = (version: string): readonly Led[] =>
  JSON.parse(readFileSync(path.join(folder, `${version}.led.json`), 'utf8')) as readonly Led[];
const events = (version: string): readonly RecordedEvent[] => replay(lines(version)).records.flatMap((record) => record.events);

describe('Logs of earlier releases', () => {
  it('are there, those of the last one too', () => {
    expect(versions()).toContain(release().version);
  });

  it('are the bytes that were written, and lead to the states that they led to', () => {
    for (const version of versions()) {
      const replayed = replay(lines(version));
      expect({ version, led: replayed.led }).toEqual({ version, led: led(version) });
      expect(replayed.led.length).toBeGreaterThan(10);
    }
  });

  it('hold every version of every event type', () => {
    const held = new Set(versions().flatMap((version) => events(version).map(({ type, v }) => `${type} v${v}`)));
    const known = [...shapes].flatMap(([type, { versions: all }]) => all.map((_, i) => `${type} v${i + 1}`));
    expect([...held].sort()).toEqual(known.sort());
  });

  it('are brought by upcasters to what the newest schema asks', () => {
    for (const version of versions()) {
      for (const event of events(version)) {
        const current = upcast(event, catalogue);
        const newest = shapes.get(current.type)?.versions.at(-1) as ObjectShape;
        expect(newest.fault(current)).toBeUndefined();
      }
    }
  });

  it('that were tampered with are found out', () => {
    const [version] = versions() as [string];
    const all = lines(version);
    const at = all.findIndex((line) => line.includes('"ChoiceMade"'));
    const forged = Buffer.from(String(all[at]).replace('"toPassageId":"hall"', '"toPassageId":"attic"'));
    expect(forged.equals(all[at] as Buffer)).toBe(false);
    expect(() => replay(all.with(at, forged))).toThrow(/leads to state|is conflict/);
  });
});

describe('A second version of an event', () => {
  // As if v2 had named the choice and its passage together, and dropped what is for people only.
  const first = shapes.get('ChoiceMade')?.versions[0] as ObjectShape;
  const kept = [...first.fields].filter((name) => !['type', 'v', 'choiceId', 'ordinal'].includes(name));
  const anything: Shape<Json> = { schema: {}, fault: () => undefined };
  const second = object<{ readonly [name: string]: Json }>({
    ...Object.fromEntries(kept.map((name) => [name, anything])),
    type: constant('ChoiceMade'),
    v: constant(2),
    choice: text({ max: 260 }),
  });
  const up = (event: RecordedEvent): RecordedEvent => ({
    ...Object.fromEntries(Object.entries(event).filter(([name]) => kept.includes(name))),
    type: event.type,
    v: 2,
    choice: `${String(event['fromPassageId'])}/${String(event['choiceId'])}`,
  });
  const later = (written: number): EventShapes => new Map(shapes).set('ChoiceMade', { written, versions: [first, second] });
  const laterCatalogue = new Map<string, EventSchema>(playthroughEvents).set('ChoiceMade', { version: 2, upcasters: [up] });
  const old = (): RecordedEvent => events(release().version).find(({ type }) => type === 'ChoiceMade') as RecordedEvent;

  it('is what an old record is brought to before it is folded', () => {
    const current = upcast(old(), laterCatalogue);
    expect(current).toMatchObject({ v: 2, choice: `${String(old()['fromPassageId'])}/${String(old()['choiceId'])}` });
    expect(second.fault(current)).toBeUndefined();
    expect(second.fault(old())).toMatch(/v: must be 2|choiceId|choice: is missing/);
    expect(first.fault(current)).toBeDefined();
  });

  it('folds every old log to the old states when its upcaster and its fold agree, and is found out when they do not', () => {
    // Today's fold wants v1's names: an upcaster that only adds keeps them, one that drops them leads elsewhere.
    const adds = (event: RecordedEvent): RecordedEvent => ({ ...up(event), choiceId: event['choiceId'] as string });
    const agreeing = new Map(laterCatalogue).set('ChoiceMade', { version: 2, upcasters: [adds] });
    for (const version of versions()) {
      expect(replay(lines(version), { playthrough: agreeing }).led).toEqual(led(version));
      // A log of other streams alone has nothing that v2 could be about.
      if (!events(version).some(({ type }) => type === 'ChoiceMade')) continue;
      expect(() => replay(lines(version), { playthrough: laterCatalogue })).toThrow(/leads to state|cannot be folded/);
    }
  });

  it('is written only from the release on that follows the one that reads it', () => {
    const current = upcast(old(), laterCatalogue);
    expect(eventProblem(old(), later(1))).toBeUndefined();
    expect(eventProblem(current, later(1))).toBe('ChoiceMade v2: version 1 is what is written');
    expect(eventProblem(current, later(2))).toBeUndefined();
    expect(eventProblem(old(), later(2))).toBe('ChoiceMade v1: version 2 is what is written');
  });
});
