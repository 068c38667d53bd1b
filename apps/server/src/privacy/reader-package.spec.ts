import fc from 'fast-check';
import type { Pool } from 'pg';
import { MAX_PAGE } from '#lib/projections';
import { packagePage } from './package-page.js';
import { accessesTo, packageJson, type PackagePart } from './reader-package.js';

type Played = Extract<PackagePart, { kind: 'playthrough' }>['value'];
const text = fc.string({ unit: 'binary', maxLength: 20 }).filter((value) => value.isWellFormed());
const played = fc.record({
  value: fc.record({ id: fc.uuid(), story: text, storyId: text, storyVersion: text, status: text, ending: fc.option(text) }),
  checkpoints: fc.array(fc.record({ turn: fc.nat(), at: text, name: fc.option(text) }), { maxLength: 3 }),
  turns: fc.array(fc.record({ turn: fc.nat(), at: text, what: text, passage: text, choice: fc.option(text), changes: fc.jsonValue() }), {
    maxLength: 4,
  }),
  accesses: fc.array(fc.record({ at: text, by: text, action: text }), { maxLength: 2 }),
});
const head = {
  pseudonym: 'r-abc',
  generatedAt: '2026-12-01T00:00:00.000Z',
  purposes: 'play',
  recipients: ['staff'],
  retention: [{ retention: 'turns', purpose: 'proof', keepDays: 30 }],
  retentionText: 'until asked',
  source: 'you',
  rights: 'all',
};

async function* parts(playthroughs: readonly (typeof played extends fc.Arbitrary<infer P> ? P : never)[]): AsyncGenerator<PackagePart> {
  yield { kind: 'head', value: head };
  for (const { value, checkpoints, turns, accesses } of playthroughs) {
    yield { kind: 'playthrough', value: { ...value, startedAt: null, lastAt: 'then', forkedFrom: null } satisfies Played };
    for (const checkpoint of checkpoints) yield { kind: 'checkpoint', value: checkpoint };
    for (const turn of turns) yield { kind: 'turn', value: turn };
    for (const access of accesses) yield { kind: 'access', value: access };
  }
  yield { kind: 'end' };
}
async function whole(pieces: AsyncIterable<string>): Promise<string> {
  let all = '';
  for await (const piece of pieces) all += piece;
  return all;
}

describe('a package of one reader', () => {
  it('names everybody who looked at a playthrough, however often somebody else did after them', async () => {
    const all = Array.from({ length: 2 * MAX_PAGE + 7 }, (_, n) => ({
      time: String(9_000 - n),
      leaf_index: String(900 - n),
      leaf: Buffer.from(`{"n":${n}}`),
    }));
    const query = (_: string, values: readonly unknown[]): Promise<{ rows: typeof all }> => {
      const [before, limit] = [values.length > 2 ? Number(values[1]) : Infinity, Number(values.at(-1))];
      return Promise.resolve({ rows: all.filter(({ time }) => Number(time) < before).slice(0, limit) });
    };
    const told: unknown[] = [];
    for await (const entry of accessesTo({ query } as unknown as Pool, 'playthrough/p-1')) told.push(entry);
    expect(told).toEqual(all.map((_, n) => ({ n })));
  });

  it('is one JSON document with everything in it, whatever there is and however little', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(played, { maxLength: 4 }), async (playthroughs) => {
        const read = JSON.parse(await whole(packageJson(parts(playthroughs)))) as object;
        const list = (name: string, entries: readonly unknown[]): object => (entries.length === 0 ? {} : { [name]: entries });
        // Through JSON, which has no -0.
        const wanted = JSON.parse(
          JSON.stringify({
            ...head,
            playthroughs: playthroughs.map(({ value, checkpoints, turns, accesses }) => ({
              ...{ ...value, startedAt: null, lastAt: 'then', forkedFrom: null },
              ...{ ...list('checkpoints', checkpoints), ...list('turns', turns), ...list('accesses', accesses) },
            })),
          }),
        ) as object;
        expect(read).toEqual(wanted);
      }),
      { numRuns: 60 },
    );
  });

  it('is a page on which every word is text: nothing that a reader or an author wrote becomes markup', async () => {
    const markup = '<script>alert("x")</script>&amp;\'';
    const one = {
      value: { id: 'p-1', story: markup, storyId: 's', storyVersion: 'v', status: markup, ending: markup },
      checkpoints: [{ turn: 1, at: markup, name: markup }],
      turns: [{ turn: 1, at: 'then', what: markup, passage: markup, choice: markup, changes: [{ name: markup }] }],
      accesses: [{ at: 'then', by: markup, action: markup }],
    };
    const page = await whole(packagePage(parts([one, { ...one, checkpoints: [{ turn: 2, at: 'later', name: null }] }])));
    expect(page).not.toContain('<script');
    expect(page).not.toContain('alert("x")');
    expect(page.match(/&lt;script&gt;/g)?.length).toBeGreaterThan(14);
    expect(page).toContain('its key was destroyed');
    expect(page.match(/<table>/g)?.length).toBe(page.match(/<\/table>/g)?.length);
    expect(page.endsWith('</body></html>\n')).toBe(true);
  });
});
