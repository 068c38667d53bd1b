import { linesWithin, MAX_ENTRIES_BYTES } from './entry-lines.js';

describe('an answer of entries', () => {
  const LARGEST = 65_535;
  let read = 0;
  async function* pages(count: number) {
    for (let page = 0; page < count; page++) {
      read++;
      yield { leaves: Array.from({ length: 50 }, () => ({ bytes: Buffer.alloc(LARGEST, 'x') })) };
    }
  }
  beforeEach(() => void (read = 0));

  it('ends with the leaf that makes it large enough, and reads no further', async () => {
    const bytes = Buffer.concat(await linesWithin(pages(20)));
    expect(bytes.length).toBe(MAX_ENTRIES_BYTES);
    expect(bytes.at(-1)).toBe(10);
    expect(read).toBe(3);
  });

  it('holds one leaf at least, and all where they are few', async () => {
    expect((await linesWithin(pages(1), 10)).length).toBe(2);
    expect((await linesWithin(pages(1))).length).toBe(100);
    expect(await linesWithin(pages(0))).toEqual([]);
  });
});
