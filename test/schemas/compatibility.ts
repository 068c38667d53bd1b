import { isDeepStrictEqual } from 'node:util';
import type { JsonSchema } from '#lib/decision';

/** By name: `ChoiceMade.v1`, `decision-record.v1`. */
export type Schemas = ReadonlyMap<string, JsonSchema>;
/** Version that is written, by type: `ChoiceMade`, `decision-record`. */
export type Written = { readonly [type: string]: number };

export interface Released {
  readonly schemas: Schemas;
  readonly written: Written;
}
export interface Current extends Released {
  /** How many steps the upcasters of a type have. */
  readonly upcasters: { readonly [type: string]: number };
  /** Names of schemas of which a record as once written is kept. */
  readonly golden: ReadonlySet<string>;
  /** What is written although the last release cannot read it, with the reason why that is borne. By name of the schema. */
  readonly writtenBeforeRead: { readonly [name: string]: string };
}

/** Whom a change hurts: new code that reads old records, old nodes that meet new records. */
export type Breaks = 'backward' | 'forward' | 'backward and forward';
export interface Refusal {
  readonly schema: string;
  readonly what: string;
  readonly breaks: Breaks;
  readonly todo: string;
}

/** One difference of two schemas, with whom it hurts. */
export interface Difference {
  readonly at: string;
  readonly what: string;
  readonly breaks: Breaks;
}

/**
 * What would not survive a rolling upgrade from the released schemas to the current ones, or a replay of what was written before. Pure.
 * What is released is never changed, whatever the change: even a field that may be left out, for an older node would fold the record without
 * it, to another state.
 */
export function incompatibilities(released: Released, current: Current): readonly Refusal[] {
  const refusals: Refusal[] = [];
  for (const [name, before] of released.schemas) {
    const after = current.schemas.get(name);
    if (after === undefined) refusals.push(refused(name, 'is gone', 'backward', `put it back: records of it stand in logs for ever`));
    else for (const one of differences(before, after)) refusals.push(changed(name, one));
  }
  for (const [type, versions] of versionsOf(current.schemas)) {
    refusals.push(...gaps(type, versions, current), ...tooEarly(type, versions, released, current));
  }
  for (const name of Object.keys(current.writtenBeforeRead)) {
    const [type, version] = parts(name);
    if (current.written[type] === version && !released.schemas.has(name)) continue;
    refusals.push(refused(name, 'is listed in written-before-read.json without need', 'forward', 'take it off the list'));
  }
  return refusals;
}

/** What a version needs to be read: every one before it, a step from each to the next, a record as it was written. */
function gaps(type: string, versions: readonly number[], { upcasters, golden }: Current): readonly Refusal[] {
  const refusals: Refusal[] = [];
  const newest = Math.max(...versions);
  for (let v = 1; v < newest; v++) {
    if (!versions.includes(v)) refusals.push(refused(`${type}.v${v}`, 'is missing', 'backward', 'versions are counted without gaps'));
  }
  const steps = upcasters[type];
  if (type !== ENVELOPE && steps !== newest - 1) {
    const what = `has ${steps ?? 'no'} upcasters, version ${newest} needs ${newest - 1}`;
    refusals.push(refused(`${type}.v${newest}`, what, 'backward', `write the upcaster from v${newest - 1} to v${newest} in the catalogue`));
  }
  for (const v of versions) {
    if (golden.has(`${type}.v${v}`)) continue;
    refusals.push(refused(`${type}.v${v}`, 'has no golden record', 'backward', 'add one: docs/how-to/evolve-events.md, "Golden records"'));
  }
  return refusals;
}

/** A version is written only once the release before can read it, for its nodes are still there during a rolling upgrade. */
function tooEarly(type: string, versions: readonly number[], released: Released, current: Current): readonly Refusal[] {
  const written = current.written[type];
  const before = released.written[type];
  const name = `${type}.v${written ?? '?'}`;
  // Read only, so far.
  if (written === 0 && (before ?? 0) === 0) return [];
  if (written === undefined || (written > 0 && !versions.includes(written))) {
    return [refused(name, 'is written, but has no schema', 'backward and forward', 'name the version that is written among its shapes')];
  }
  const refusals: Refusal[] = [];
  if (written > 0 && !released.schemas.has(name) && current.writtenBeforeRead[name] === undefined) {
    const what = `is written, but nodes of the last release cannot read it: ${type === ENVELOPE ? 'their partitions would stop' : 'they would park its streams'}`;
    const todo = `release it as read only first (\`written: ${written - 1}\`), or list it with the reason in schemas/written-before-read.json`;
    refusals.push(refused(name, what, 'forward', todo));
  }
  if (before !== undefined && written < before) {
    refusals.push(
      refused(name, `is written, the last release wrote v${before}`, 'backward', 'a version that was written is not taken back'),
    );
  }
  return refusals;
}

export const ENVELOPE = 'decision-record';

const refused = (schema: string, what: string, breaks: Breaks, todo: string): Refusal => ({ schema, what, breaks, todo });

function changed(name: string, { at, what, breaks }: Difference): Refusal {
  const [type, version] = parts(name);
  const todo = `put it back, and make ${type}.v${version + 1} with an upcaster from v${version}: docs/how-to/evolve-events.md`;
  return refused(name, `was released and is never changed, but ${at === '' ? 'at its root' : at} ${what}`, breaks, todo);
}

function parts(name: string): readonly [string, number] {
  const [, type, version] = /^(.+)\.v(\d+)$/.exec(name) ?? [];
  if (type === undefined) throw new Error(`${name} is not the name of a schema: <Type>.v<version>`);
  return [type, Number(version)];
}

function versionsOf(schemas: Schemas): ReadonlyMap<string, readonly number[]> {
  const versions = new Map<string, number[]>();
  for (const name of schemas.keys()) {
    const [type, version] = parts(name);
    versions.set(type, [...(versions.get(type) ?? []), version]);
  }
  return versions;
}

// ---- two schemas

/** Words for people; they may change. */
const ANNOTATIONS: ReadonlySet<string> = new Set(['title', 'description', '$comment', 'examples']);
/** A larger one admits more. */
const CEILINGS = ['maximum', 'maxLength', 'maxItems', 'maxProperties'];
/** A larger one admits less. */
const FLOORS = ['minimum', 'minLength', 'minItems', 'minProperties'];

/** Every difference of two schemas but words for people; those that no rule names hurt both ways. */
export function differences(before: JsonSchema, after: JsonSchema, at = ''): readonly Difference[] {
  const found: Difference[] = [];
  const add = (breaks: Breaks, what: string, where = at): void => void found.push({ at: where, what, breaks });
  const named = new Set(['properties', 'required', 'items', 'additionalProperties', 'propertyNames', ...CEILINGS, ...FLOORS]);
  const [fields, newFields] = [schemasIn(before['properties']), schemasIn(after['properties'])];
  const [required, newRequired] = [namesIn(before['required']), namesIn(after['required'])];

  for (const [name, schema] of Object.entries(fields)) {
    const other = newFields[name];
    const path = `${at}.${name}`;
    if (other === undefined) add(required.has(name) ? 'backward and forward' : 'backward', 'is removed', path);
    else found.push(...differences(schema, other, path));
  }
  for (const name of Object.keys(newFields)) {
    if (fields[name] !== undefined) continue;
    if (newRequired.has(name)) add('backward', 'is added and required: old records lack it', `${at}.${name}`);
    else add('forward', 'is added: older nodes would fold the record without it', `${at}.${name}`);
  }
  for (const name of Object.keys(fields)) {
    if (newFields[name] === undefined || required.has(name) === newRequired.has(name)) continue;
    if (newRequired.has(name)) add('backward', 'is made required: old records may lack it', `${at}.${name}`);
    else add('forward', 'may now be left out: older nodes need it', `${at}.${name}`);
  }
  for (const keyword of ['items', 'additionalProperties', 'propertyNames']) {
    const [one, other] = [before[keyword], after[keyword]];
    if (isSchema(one) && isSchema(other)) found.push(...differences(one, other, `${at}[${keyword === 'items' ? '' : keyword}]`));
    else if (one !== other) add('backward and forward', `has another ${keyword}`);
  }
  for (const keyword of CEILINGS) compareBound(before, after, keyword, 1, add);
  for (const keyword of FLOORS) compareBound(before, after, keyword, -1, add);
  if (Array.isArray(before['enum']) && Array.isArray(after['enum'])) {
    named.add('enum');
    const [old, now] = [before['enum'], after['enum']];
    for (const value of old) if (!now.includes(value)) add('backward', `no longer admits ${JSON.stringify(value)}`);
    for (const value of now) if (!old.includes(value)) add('forward', `admits ${JSON.stringify(value)}, which older nodes do not know`);
  }
  if (Array.isArray(before['anyOf']) && Array.isArray(after['anyOf'])) {
    named.add('anyOf');
    const [old, now] = [before['anyOf'].map(bare), after['anyOf'].map(bare)];
    for (const form of old)
      if (!now.some((other) => isDeepStrictEqual(other, form))) add('backward', `no longer admits the form ${words(form)}`);
    for (const form of now)
      if (!old.some((other) => isDeepStrictEqual(other, form)))
        add('forward', `admits the form ${words(form)}, which older nodes do not know`);
  }
  for (const keyword of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (named.has(keyword) || ANNOTATIONS.has(keyword) || isDeepStrictEqual(bare(before[keyword]), bare(after[keyword]))) continue;
    add('backward and forward', `has ${keyword} ${words(after[keyword])} instead of ${words(before[keyword])}`);
  }
  return found;
}

function compareBound(
  before: JsonSchema,
  after: JsonSchema,
  keyword: string,
  sign: 1 | -1,
  add: (breaks: Breaks, what: string) => void,
): void {
  const of = (schema: JsonSchema): number => (typeof schema[keyword] === 'number' ? (schema[keyword] as number) : sign * Infinity);
  const more = sign * (of(after) - of(before));
  if (of(after) === of(before) || Number.isNaN(more)) return;
  const change = `has ${keyword} ${words(after[keyword])} instead of ${words(before[keyword])}`;
  if (more < 0) add('backward', `${change}: old records may lie beyond`);
  else add('forward', `${change}: older nodes may meet what lies beyond`);
}

const isSchema = (value: unknown): value is JsonSchema => typeof value === 'object' && value !== null && !Array.isArray(value);
const schemasIn = (value: unknown): { readonly [name: string]: JsonSchema } =>
  isSchema(value) ? (value as { readonly [name: string]: JsonSchema }) : {};
const namesIn = (value: unknown): ReadonlySet<unknown> => new Set(Array.isArray(value) ? (value as readonly unknown[]) : []);
const words = (value: unknown): string => (value === undefined ? 'none' : JSON.stringify(value));

/** Without words for people, at every depth. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (!isSchema(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([keyword, part]) => !(ANNOTATIONS.has(keyword) && typeof part === 'string'))
      .map(([keyword, part]) => [keyword, bare(part)]),
  );
}
