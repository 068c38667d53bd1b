import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import * as fc from 'fast-check';
import {
  decodeRecord,
  eventProblem,
  knownFields,
  recordProblem,
  unknownFields,
  type DecisionRecord,
  type JsonSchema,
  type RecordedEvent,
} from '#lib/decision';
import { linesOf, replay } from '../golden/replay.js';
import { ENVELOPE, incompatibilities } from './compatibility.js';
import { catalogue, readJson, released, ROOT, SCHEMAS, schemasIn, schemasMade, shapes, writtenNow } from './repository.js';

const GOLDEN = path.join(ROOT, 'test', 'golden');
const records = (): readonly DecisionRecord[] =>
  readdirSync(GOLDEN)
    .filter((file) => file.endsWith('.ndjson'))
    .flatMap((file) => replay(linesOf(readFileSync(path.join(GOLDEN, file)))).records);

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
const validators = new Map([...schemasMade()].map(([name, schema]) => [name, ajv.compile(schema)]));
const admits = (name: string, value: unknown): boolean => validators.get(name)?.(value) === true;
const nameOf = (event: RecordedEvent): string => `${event.type}.v${event.v}`;

describe('The schemas in the repository', () => {
  it('break no reading of old records by new nodes, nor of new records by nodes of the last release', () => {
    const events = records().flatMap((record) => record.events);
    const upcasters = Object.fromEntries([...catalogue].map(([type, { upcasters: steps }]) => [type, steps.length]));
    const current = {
      schemas: schemasIn(SCHEMAS),
      written: writtenNow(),
      upcasters,
      golden: new Set([...events.map(nameOf), ...records().map(({ v }) => `${ENVELOPE}.v${v}`)]),
      writtenBeforeRead: readJson(path.join(SCHEMAS, 'written-before-read.json')) as { readonly [name: string]: string },
    };
    const refusals = incompatibilities(released(), current);
    expect(refusals.map(({ schema, what, breaks, todo }) => `${schema} ${what} (breaks ${breaks} reading). To do: ${todo}`)).toEqual([]);
    expect(current.schemas.size).toBeGreaterThanOrEqual(11);
  });

  it('are those that the code makes (`npm run generate` writes them)', () => {
    expect(Object.fromEntries(schemasIn(SCHEMAS))).toEqual(Object.fromEntries(schemasMade()));
  });

  it('are as many for each type as the catalogue has versions, and what is written is among them', () => {
    for (const [type, { version }] of catalogue) {
      const known = shapes.get(type);
      expect({ type, versions: known?.versions.length }).toEqual({ type, versions: version });
      expect(known?.written).toBeLessThanOrEqual(version);
    }
    expect([...shapes.keys()].sort()).toEqual([...catalogue.keys()].sort());
  });

  it('say in words what each event and most of its fields are', () => {
    for (const [name, schema] of schemasMade()) {
      expect({ name, description: schema['description'] }).toEqual({ name, description: expect.stringMatching(/\.$/) });
      expect(schema['$schema']).toBe('https://json-schema.org/draft/2020-12/schema');
    }
  });
});

describe('Real records', () => {
  it('are what their schemas say, for any validator, and what the check at the edge lets through', () => {
    const all = records();
    expect(all.length).toBeGreaterThan(20);
    for (const record of all) {
      expect({ record, admitted: admits(`${ENVELOPE}.v1`, record) }).toEqual({ record, admitted: true });
      expect(recordProblem(record)).toBeUndefined();
      for (const event of record.events) {
        expect({ event, admitted: admits(nameOf(event), event) }).toEqual({ event, admitted: true });
        expect(unknownFields(event, shapes)).toEqual([]);
        if (event.v === shapes.get(event.type)?.written) expect(eventProblem(event, shapes)).toBeUndefined();
      }
    }
  });
});

type Fields = Record<string, unknown>;
/** Something is done to one place of a value: left out, added, put in its stead. */
const JUNK: readonly unknown[] = [null, true, -1, 0.5, 2 ** 60, '', 'x'.repeat(2_000), '\n', [], {}, [1], { a: 1 }, 'A256GCM', 1, 7];
function spoil(value: unknown, steps: readonly number[], how: number): unknown {
  const [step, ...rest] = steps;
  if (step === undefined || typeof value !== 'object' || value === null) return JUNK[how % JUNK.length];
  const keys = Object.keys(value);
  const copy: Fields | unknown[] = Array.isArray(value) ? [...(value as unknown[])] : { ...value };
  if (how % 5 === 0 && !Array.isArray(copy)) return { ...copy, surplus: JUNK[how % JUNK.length] };
  const key = keys[step % Math.max(keys.length, 1)];
  if (key === undefined) return Array.isArray(copy) ? [...copy, JUNK[how % JUNK.length]] : { ...copy, surplus: 1 };
  const fields = copy as Fields;
  if (how % 7 === 0 && !Array.isArray(copy)) delete fields[key];
  else fields[key] = spoil(fields[key], rest, how);
  return copy;
}

/** A schema in which no object may have fields that it does not name: what the check at the edge asks. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const parts = Object.fromEntries(Object.entries(schema).map(([keyword, part]) => [keyword, closed(part)]));
  return 'properties' in schema && 'required' in schema ? { ...parts, additionalProperties: false } : parts;
}

describe('The check at the edge', () => {
  const strict = new Ajv2020({ strict: true });
  const closedValidators = new Map(
    [...schemasMade()].map(([name, schema]) => [name, strict.compile({ ...(closed(schema) as JsonSchema), $id: `${name}-closed` })]),
  );
  const events = records().flatMap((record) => record.events);
  const spoilt = fc
    .record({ i: fc.nat(events.length - 1), steps: fc.array(fc.nat(40), { minLength: 1, maxLength: 4 }), how: fc.nat(1_000) })
    .map(({ i, steps, how }) => spoil(events[i], steps, how) as RecordedEvent);

  it('refuses exactly what an independent validator refuses with the closed schema, however a record is spoilt', () => {
    const seen = { refused: 0, taken: 0 };
    fc.assert(
      fc.property(spoilt, (event) => {
        const validator = closedValidators.get(nameOf(event));
        const taken = validator?.(event) === true;
        expect({ event, taken: eventProblem(event, shapes) === undefined }).toEqual({ event, taken });
        seen[taken ? 'taken' : 'refused']++;
      }),
      { numRuns: 3_000, seed: 5 },
    );
    expect(seen.refused).toBeGreaterThan(500);
    expect(seen.taken).toBeGreaterThan(20);
  });

  it('of the envelope lets through only what every reader can decode', () => {
    const all = records();
    const seen = { refused: 0, taken: 0 };
    fc.assert(
      fc.property(fc.nat(all.length - 1), fc.array(fc.nat(40), { minLength: 1, maxLength: 2 }), fc.nat(1_000), (i, steps, how) => {
        const { events: _, ...envelope } = all[i] as DecisionRecord;
        const record = { ...(spoil(envelope, steps, how) as object), events: (all[i] as DecisionRecord).events } as DecisionRecord;
        const fine = recordProblem(record) === undefined;
        seen[fine ? 'taken' : 'refused']++;
        if (!fine) return;
        expect(decodeRecord(Buffer.from(JSON.stringify(record)))).toMatchObject({ kind: 'record' });
        expect(admits(`${ENVELOPE}.v1`, record)).toBe(true);
      }),
      { numRuns: 2_000, seed: 6 },
    );
    expect(seen.refused).toBeGreaterThan(500);
    expect(seen.taken).toBeGreaterThan(20);
  });
});

describe('Fields that a schema does not name', () => {
  const event = records()[0]?.events[0] as RecordedEvent;

  it('are tolerated by the schema, counted by name, and refused by the check at the edge', () => {
    const strange = { ...event, mood: 'gloomy', weather: 1 };
    expect(admits(nameOf(event), strange)).toBe(true);
    expect(unknownFields(strange, shapes)).toEqual(['mood', 'weather']);
    expect(eventProblem(strange, shapes)).toMatch(/\.mood: is not a field of it/);
  });

  it('are not guessed at where the version itself is not known', () => {
    expect(unknownFields({ ...event, v: 9, mood: 'gloomy' }, shapes)).toEqual([]);
    expect(unknownFields({ type: 'PassageNarrated', v: 1, mood: 'gloomy' }, shapes)).toEqual([]);
    expect(knownFields(shapes, event.type, 9)).toBeUndefined();
    expect(knownFields(shapes, event.type, 1)?.has('stateHash')).toBe(true);
  });
});
