import * as fc from 'fast-check';
import { canonicalJson, sha256Hex } from '#lib/canonical';
import { counted } from './evolve.js';
import { stateFromJson, stateHash, stateToJson } from './state-json.js';
import { anyState } from './testing/any-state.js';
import { Player } from './testing/player.js';
import { bridge } from './testing/small-story.js';

describe('the JSON of a state', () => {
  it('is canonical, in whatever order its keys came', () => {
    fc.assert(
      fc.property(anyState(), (state) => {
        const text = stateToJson(state);
        expect(text).toBe(canonicalJson(state));
        expect(stateHash(state)).toBe(sha256Hex(text));
      }),
    );
  });

  it('comes back as the same state with the same text', () => {
    fc.assert(
      fc.property(anyState(), (state) => {
        const back = stateFromJson(stateToJson(state));
        expect(back).toEqual(state);
        expect(stateToJson(back)).toBe(stateToJson(state));
      }),
    );
  });

  it('is refused as a state when it is none', () => {
    for (const text of ['null', '[]', '{}', '"x"', '{"id":"p"}', '{"id":"p","narrative":null}', '{'])
      expect(() => stateFromJson(text)).toThrow();
  });

  it('of a played state needs no sorting: its keys are in order already', () => {
    const player = new Player(bridge()).start();
    for (const id of ['camp', 'storylet:dice', 'roll', 'back', 'leave', 'beg']) player.choose(id);
    for (const state of player.states) expect(JSON.stringify(state)).toBe(canonicalJson(state));
  });
});

describe('counting', () => {
  it('keeps the keys in canonical order', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc
            .string({ unit: 'grapheme', minLength: 1, maxLength: 4 })
            .filter((key) => key.isWellFormed() && !/^\d+$/.test(key) && key !== '__proto__'),
          { maxLength: 30 },
        ),
        (keys) => {
          let counts: { readonly [key: string]: number } = {};
          for (const key of keys) counts = counted(counts, key);
          expect(Object.keys(counts)).toEqual([...new Set(keys)].sort());
          for (const key of new Set(keys)) expect(counts[key]).toBe(keys.filter((other) => other === key).length);
        },
      ),
    );
  });
});
