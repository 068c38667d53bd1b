import * as fc from 'fast-check';
import { decodePosition, encodePosition } from './position-token.js';

describe('a position token', () => {
  it('gives back what it was made from', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.nat(4095), fc.maxSafeNat(), (logId, partition, offset) => {
        expect(decodePosition(encodePosition({ logId, partition, offset }))).toEqual({ logId, partition, offset });
      }),
    );
  });

  it('is refused when it was not made by us, to the letter', () => {
    const token = encodePosition({ logId: 'l', partition: 1, offset: 2 });
    const text = (json: string): string => Buffer.from(json).toString('base64url');
    for (const other of [
      token + '=',
      token + 'AA',
      text('{"p":1,"o":2,"l":"l"}'),
      text('{"l":"l","o":-1,"p":1}'),
      text('null'),
      text('{'),
      '',
      7,
      null,
      'x'.repeat(400),
    ]) {
      expect(decodePosition(other)).toBeUndefined();
    }
    expect(decodePosition(text('{"l":"l","o":2,"p":1}'))).toEqual({ logId: 'l', partition: 1, offset: 2 });
  });
});
