import type { JsonSchema } from '#lib/decision';
import { differences, incompatibilities, type Breaks, type Current, type Released } from './compatibility.js';

const count: JsonSchema = { type: 'integer', minimum: 0, maximum: 100 };
const before: JsonSchema = {
  $id: 'urn:fabula:event:Moved:v1',
  title: 'Moved',
  description: 'A move.',
  type: 'object',
  required: ['type', 'turn', 'how', 'who'],
  properties: {
    type: { const: 'Moved' },
    turn: count,
    how: { enum: ['walk', 'run'] },
    who: { anyOf: [{ type: 'string', maxLength: 10 }, { type: 'null' }] },
    note: { type: 'string', maxLength: 20, pattern: '^[a-z]*$' },
    path: { type: 'array', items: { type: 'object', required: ['id'], properties: { id: { type: 'string' } } }, maxItems: 4 },
    title: { type: 'string' },
    seen: { type: 'object', propertyNames: { maxLength: 9 }, additionalProperties: { type: 'integer' } },
  },
};

const fields = before['properties'] as { readonly [name: string]: JsonSchema };
const required = before['required'] as readonly string[];
const withFields = (more: { readonly [name: string]: JsonSchema }, needs = required): JsonSchema => ({
  ...before,
  required: needs,
  properties: { ...fields, ...more },
});
const without = (name: string): JsonSchema => ({
  ...before,
  required: required.filter((one) => one !== name),
  properties: Object.fromEntries(Object.entries(fields).filter(([one]) => one !== name)),
});

const both: Breaks = 'backward and forward';
const changes: readonly (readonly [string, JsonSchema, string, Breaks])[] = [
  ['a required field is removed', without('turn'), '.turn', both],
  ['a field that may be left out is removed', without('note'), '.note', 'backward'],
  ['a field called like an annotation is removed', without('title'), '.title', 'backward'],
  ['a field is renamed', { ...without('note'), properties: { ...fields, note: undefined as never, remark: {} } }, '.note', 'backward'],
  ['a field is added that must be there', withFields({ mood: {} }, [...required, 'mood']), '.mood', 'backward'],
  ['a field is added that may be left out', withFields({ mood: {} }), '.mood', 'forward'],
  ['a field is made required', withFields({}, [...required, 'note']), '.note', 'backward'],
  [
    'a field may be left out from now on',
    withFields(
      {},
      required.filter((name) => name !== 'how'),
    ),
    '.how',
    'forward',
  ],
  ['a type is another one', withFields({ turn: { ...count, type: 'string' } }), '.turn', both],
  ['a type becomes a choice of types', withFields({ turn: { anyOf: [count, { type: 'null' }] } }), '.turn', both],
  [
    'a form is admitted more',
    withFields({ who: { anyOf: [{ type: 'string', maxLength: 10 }, { type: 'null' }, { type: 'boolean' }] } }),
    '.who',
    'forward',
  ],
  ['a form is admitted no longer', withFields({ who: { anyOf: [{ type: 'string', maxLength: 10 }] } }), '.who', 'backward'],
  ['a value is admitted more', withFields({ how: { enum: ['walk', 'run', 'swim'] } }), '.how', 'forward'],
  ['a value is admitted no longer', withFields({ how: { enum: ['walk'] } }), '.how', 'backward'],
  ['a constant is another one', withFields({ type: { const: 'Gone' } }), '.type', both],
  ['a maximum is lowered', withFields({ turn: { ...count, maximum: 99 } }), '.turn', 'backward'],
  ['a maximum is raised', withFields({ turn: { ...count, maximum: 101 } }), '.turn', 'forward'],
  ['a maximum falls away', withFields({ turn: { type: 'integer', minimum: 0 } }), '.turn', 'forward'],
  ['a minimum is raised', withFields({ turn: { ...count, minimum: 1 } }), '.turn', 'backward'],
  ['a minimum is lowered', withFields({ turn: { ...count, minimum: -1 } }), '.turn', 'forward'],
  ['a bound is new', withFields({ title: { type: 'string', maxLength: 5 } }), '.title', 'backward'],
  ['a list may be longer', withFields({ path: { ...fields['path'], maxItems: 5 } }), '.path', 'forward'],
  ['text must match something else', withFields({ note: { ...fields['note'], pattern: '^[A-Z]*$' } }), '.note', both],
  [
    'an element of a list gets a field',
    withFields({ path: { ...fields['path'], items: { type: 'object', required: ['id'], properties: { id: { type: 'string' }, x: {} } } } }),
    '.path[].x',
    'forward',
  ],
  [
    'names of a map may be longer',
    withFields({ seen: { ...fields['seen'], propertyNames: { maxLength: 10 } } }),
    '.seen[propertyNames]',
    'forward',
  ],
  [
    'values of a map are of another type',
    withFields({ seen: { ...fields['seen'], additionalProperties: { type: 'string' } } }),
    '.seen[additionalProperties]',
    both,
  ],
  ['an object is closed', { ...before, additionalProperties: false }, '', both],
  ['a keyword appears that the check does not know', withFields({ turn: { ...count, multipleOf: 2 } }), '.turn', both],
  ['its id is another one', { ...before, $id: 'urn:fabula:event:Moved:v9' }, '', both],
];

const released: Released = { schemas: new Map([['Moved.v1', before]]), written: { Moved: 1 } };
const as = (changed: Partial<Current>): Current => ({
  schemas: released.schemas,
  written: released.written,
  upcasters: { Moved: 0 },
  golden: new Set(['Moved.v1']),
  writtenBeforeRead: {},
  ...changed,
});
const v2: JsonSchema = { ...before, $id: 'urn:fabula:event:Moved:v2' };
const two = new Map([
  ['Moved.v1', before],
  ['Moved.v2', v2],
]);
const readsTwo = as({ schemas: two, upcasters: { Moved: 1 }, golden: new Set(['Moved.v1', 'Moved.v2']) });

describe('A released schema', () => {
  it.each(changes)('is refused when %s', (_, after, at, breaks) => {
    expect(differences(before, after)).toContainEqual(expect.objectContaining({ at, breaks }));
    const [refusal] = incompatibilities(released, as({ schemas: new Map([['Moved.v1', after]]) }));
    expect(refusal).toMatchObject({ schema: 'Moved.v1', what: expect.stringContaining('was released and is never changed') });
    expect(refusal?.todo).toMatch(/make Moved\.v2 with an upcaster from v1: docs\/how-to\/evolve-events\.md/);
  });

  it('may be said in other words', () => {
    const reworded = { ...withFields({ turn: { ...count, description: 'The turn.' } }), description: 'Somebody moved.', title: 'A move' };
    expect(differences(before, reworded)).toEqual([]);
    expect(incompatibilities(released, as({ schemas: new Map([['Moved.v1', reworded]]) }))).toEqual([]);
  });

  it('is refused when it is gone', () => {
    const without1 = as({ schemas: new Map([['Moved.v2', v2]]), upcasters: { Moved: 1 }, golden: new Set(['Moved.v2']) });
    expect(incompatibilities(released, without1).map(({ schema, what }) => `${schema} ${what}`)).toEqual(
      expect.arrayContaining(['Moved.v1 is gone', 'Moved.v1 is missing']),
    );
  });
});

describe('A new version', () => {
  it('is taken when it can be read and the old one is still written', () => {
    expect(incompatibilities(released, readsTwo)).toEqual([]);
  });

  it('is written in the release after the one that reads it', () => {
    const writesTwo = { ...readsTwo, written: { Moved: 2 } };
    expect(incompatibilities(released, writesTwo)).toEqual([
      {
        schema: 'Moved.v2',
        what: 'is written, but nodes of the last release cannot read it: they would park its streams',
        breaks: 'forward',
        todo: expect.stringContaining('release it as read only first (`written: 1`') as string,
      },
    ]);
    expect(incompatibilities({ schemas: two, written: { Moved: 1 } }, writesTwo)).toEqual([]);
  });

  it('may be written at once when it is said why, and the saying must not outlive its need', () => {
    const writtenBeforeRead = { 'Moved.v2': 'only previews move so far' };
    expect(incompatibilities(released, { ...readsTwo, written: { Moved: 2 }, writtenBeforeRead })).toEqual([]);
    const without2 = incompatibilities(released, { ...readsTwo, writtenBeforeRead });
    expect(without2).toMatchObject([{ schema: 'Moved.v2', todo: 'take it off the list' }]);
  });

  it.each([
    ['an upcaster', { upcasters: { Moved: 0 } }, /write the upcaster from v1 to v2/],
    ['any upcaster', { upcasters: {} }, /write the upcaster from v1 to v2/],
    ['a golden record', { golden: new Set(['Moved.v1']) }, /add one: docs/],
  ])('is refused without %s', (_, lacks, todo) => {
    expect(incompatibilities(released, { ...readsTwo, ...lacks })).toMatchObject([
      { schema: 'Moved.v2', todo: expect.stringMatching(todo) as string },
    ]);
  });

  it('follows the one before', () => {
    const gap = as({
      schemas: new Map([...released.schemas, ['Moved.v3', v2]]),
      upcasters: { Moved: 2 },
      golden: new Set(['Moved.v1', 'Moved.v3']),
    });
    expect(incompatibilities(released, gap)).toMatchObject([{ schema: 'Moved.v2', what: 'is missing' }]);
  });

  it('is not taken back once it was written', () => {
    expect(incompatibilities({ schemas: two, written: { Moved: 2 } }, readsTwo)).toMatchObject([
      { schema: 'Moved.v1', what: 'is written, the last release wrote v2' },
    ]);
  });
});

describe('A new event type', () => {
  const paused = as({
    schemas: new Map([...released.schemas, ['Paused.v1', { type: 'object' }]]),
    upcasters: { Moved: 0, Paused: 0 },
    golden: new Set(['Moved.v1', 'Paused.v1']),
    written: { Moved: 1, Paused: 1 },
  });

  it('is read in one release and written in the next', () => {
    expect(incompatibilities(released, paused)).toMatchObject([{ schema: 'Paused.v1', breaks: 'forward' }]);
    expect(incompatibilities(paused, paused)).toEqual([]);
    expect(incompatibilities(released, { ...paused, written: { Moved: 1, Paused: 0 } })).toEqual([]);
  });

  it('needs a schema of what is written', () => {
    expect(incompatibilities(paused, { ...paused, written: { Moved: 1, Paused: 2 } })).toMatchObject([
      { what: 'is written, but has no schema' },
    ]);
  });
});

describe('A new envelope', () => {
  it('is read one release before it is written: it would stop whole partitions', () => {
    const envelope = (n: number): Released => ({
      schemas: new Map(Array.from({ length: n }, (_, i) => [`decision-record.v${i + 1}`, { type: 'object' }])),
      written: { 'decision-record': n },
    });
    const golden = new Set(['decision-record.v1', 'decision-record.v2']);
    const [refusal] = incompatibilities(envelope(1), { ...as({ golden }), ...envelope(2) });
    expect(refusal).toMatchObject({ schema: 'decision-record.v2', what: expect.stringContaining('their partitions would stop') as string });
  });
});
