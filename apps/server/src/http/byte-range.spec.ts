import { byteRange } from './byte-range.js';

const ETAG = '"abc"';

test('a download goes on from the byte that is asked for, as long as it is of the same file', () => {
  expect(byteRange('bytes=10-', undefined, ETAG, 100)).toEqual({ kind: 'from', from: 10 });
  expect(byteRange('bytes=10-', ETAG, ETAG, 100)).toEqual({ kind: 'from', from: 10 });
  expect(byteRange('bytes=10-', '"other"', ETAG, 100)).toEqual({ kind: 'whole' });
  expect(byteRange('bytes=0-', undefined, ETAG, 100)).toEqual({ kind: 'from', from: 0 });
});

test('nothing lies behind the end, and what is not understood gives the whole', () => {
  expect(byteRange('bytes=100-', undefined, ETAG, 100)).toEqual({ kind: 'beyond' });
  for (const range of [undefined, '', 'bytes=-5', 'bytes=1-2', 'bytes=1-,4-', 'lines=1-', 'bytes=1e3-'])
    expect(byteRange(range, undefined, ETAG, 100)).toEqual({ kind: 'whole' });
});
