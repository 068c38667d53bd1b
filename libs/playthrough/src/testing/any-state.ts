import * as fc from 'fast-check';
import type { Value } from '#lib/story';
import type { PlaythroughState } from '../playthrough-state.js';

const word = fc
  .oneof(fc.string({ unit: 'binary', maxLength: 12 }), fc.stringMatching(/^[0-9]{1,3}$/))
  .filter((text) => text.isWellFormed());
const value: fc.Arbitrary<Value> = fc.oneof(fc.boolean(), fc.maxSafeInteger(), word, fc.array(word, { maxLength: 4 }));
const counts = fc.dictionary(word, fc.nat(), { noNullPrototype: true, maxKeys: 8 });
const sealed = fc.record({ alg: fc.constant('A256GCM' as const), kid: word, iv: word, ct: word, tag: word }, { noNullPrototype: true });

/** Any state at all, its keys in any order. */
export const anyState = (): fc.Arbitrary<PlaythroughState> =>
  fc.record(
    {
      versionHash: word,
      turn: fc.nat(),
      id: word,
      storyId: word,
      reader: word,
      seed: word,
      status: fc.constantFrom('active' as const, 'ended' as const),
      enteredAt: fc.nat(),
      deadline: fc.option(fc.nat()),
      narrative: fc.record(
        {
          visits: counts,
          passageId: word,
          variables: fc.dictionary(word, value, { noNullPrototype: true, maxKeys: 8 }),
          chosen: counts,
          returnTo: fc.array(word, { maxLength: 3 }),
          draws: fc.nat(),
          ending: fc.option(word),
        },
        { noNullPrototype: true },
      ),
      checkpoints: fc.array(fc.record({ name: sealed, mark: word, turn: fc.nat() }, { noNullPrototype: true }), { maxLength: 3 }),
      forkedFrom: fc.option(fc.record({ turn: fc.nat(), playthroughId: word }, { noNullPrototype: true })),
      preview: fc.boolean(),
      lastAt: fc.nat(),
    },
    { noNullPrototype: true },
  );
