import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { decodeCard, decodeMap, encodeCard, encodeMap } from './user-data.js';

const card = fc.record({
  address: fc.webUrl(),
  rack: fc.option(fc.string(), { nil: undefined }),
  owned: fc.array(fc.nat(4_095)),
  generation: fc.integer({ min: -1 }),
  leaving: fc.boolean(),
});
const map = fc.record({
  generation: fc.nat(),
  moved: fc.nat(4_096),
  owners: fc.array(fc.option(fc.constantFrom('http://a', 'http://b', 'https://c:1'), { nil: undefined }), { maxLength: 50 }),
});

describe('What members tell each other', () => {
  test('is read as it was written', () => {
    fc.assert(fc.property(card, (one) => expect(decodeCard(encodeCard(one))).toEqual(one)));
    fc.assert(fc.property(map, (one) => expect(decodeMap(encodeMap(one))).toEqual(one)));
  });

  test('is nothing when somebody else wrote it', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(decodeCard(bytes)).toBeUndefined();
        expect(decodeMap(bytes)).toBeUndefined();
      }),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const bytes = deflateRawSync(JSON.stringify(value));
        expect(decodeCard(bytes)).toBeUndefined();
        expect(decodeMap(bytes)).toBeUndefined();
      }),
    );
  });

  test('is not unpacked when it would fill the memory', () => {
    const bomb = deflateRawSync(`{"address":"http://a","v":1,"x":"${'x'.repeat(5_000_000)}"}`);
    expect(bomb.length).toBeLessThan(20_000);
    expect(decodeCard(bomb)).toBeUndefined();
  });

  test('a later version may say more, and half a claim is none', () => {
    const bytes = deflateRawSync(JSON.stringify({ v: 2, address: 'http://a', owned: [1, 'two'], generation: '7', more: true }));
    expect(decodeCard(bytes)).toEqual({ address: 'http://a', rack: undefined, owned: [], generation: -1, leaving: false });
  });

  test('everything about the largest log fits many times into what a broker takes for a group', () => {
    const owners = Array.from({ length: 4_096 }, (_, partition) => `http://fabula-engine-${(partition * 31) % 100}.fabula.svc:8080`);
    const one =
      encodeMap({ generation: 1_000, moved: 41, owners }).length +
      encodeCard({
        address: 'http://fabula-engine-1.fabula.svc:8080',
        rack: 'europe-north1-a',
        owned: owners.flatMap((_, partition) => (partition % 100 === 1 ? [partition] : [])),
        generation: 1_000,
        leaving: false,
      }).length;
    // Each member's record holds the map; the group's holds all of them, at most 1 MiB.
    expect(100 * one).toBeLessThan(1_000_000);
  });
});
