import { compileStory, type Story } from '#lib/story';
import { ContentCache } from './content-cache.js';
import { roughSize } from './rough-size.js';
import { loopStory } from './testing/loop-story.js';

const compile = (hash: string, text: string): ReturnType<typeof compileStory> => ({ ...compileStory(JSON.parse(text) as Story), hash });
const text = JSON.stringify(loopStory);

describe('ContentCache', () => {
  it('asks the store once however many wait for a version, and again only if there was none', async () => {
    const get = jest.fn(async (hash: string) => (hash === 'a' ? text : undefined));
    const cache = new ContentCache({ get, put: async () => undefined }, compile, 1_000_000);
    const [one, two] = await Promise.all([cache.load('a'), cache.load('a')]);
    expect(one).toBe(two);
    expect(cache.peek('a')).toBe(one);
    expect(await cache.load('none')).toBeUndefined();
    expect(await cache.load('none')).toBeUndefined();
    expect(get.mock.calls.map(([hash]) => hash)).toEqual(['a', 'none', 'none']);
  });

  it('lets the least recently used go at its cap, never the one just loaded', async () => {
    const cache = new ContentCache({ get: async () => text, put: async () => undefined }, compile, 2.5 * 4 * roughSize(loopStory));
    for (const hash of ['a', 'b', 'c', 'd']) {
      await cache.load(hash);
      cache.peek('a');
    }
    const kept = ['a', 'b', 'c', 'd'].filter((hash) => cache.peek(hash) !== undefined);
    expect(kept).toContain('a');
    expect(kept).toContain('d');
    expect(kept.length).toBeLessThan(4);
    const tiny = new ContentCache({ get: async () => text, put: async () => undefined }, compile, 1);
    expect(await tiny.load('a')).toBeDefined();
    expect(tiny.peek('a')).toBeDefined();
  });

  it('fails with the store, and tries again for the next one who asks', async () => {
    const get = jest.fn<Promise<string>, [string]>().mockRejectedValueOnce(new Error('down')).mockResolvedValue(text);
    const cache = new ContentCache({ get, put: async () => undefined }, compile, 1_000_000);
    await expect(cache.load('a')).rejects.toThrow('down');
    expect(await cache.load('a')).toBeDefined();
  });
});
