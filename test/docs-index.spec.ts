import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const DOCS = path.resolve(__dirname, '../docs');

/** Every file of a folder of the documentation, from there. */
const filesOf = (folder: string): readonly string[] =>
  readdirSync(path.join(DOCS, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(path.join(DOCS, folder), path.join(entry.parentPath, entry.name)));
const linksOf = (page: string): ReadonlySet<string> =>
  new Set([...readFileSync(path.join(DOCS, page), 'utf8').matchAll(/\]\(([^)#\s]+)/g)].map(([, target = '']) => target));

describe('the index of the documentation', () => {
  it.each([
    ['README.md', '.', /^(README\.md$|decisions\/|reference\/lint\/FAB-)/],
    ['decisions/README.md', 'decisions', /^README\.md$/],
    ['reference/lint/README.md', 'reference/lint', /^README\.md$/],
  ])('%s names every page below it', (index, folder, elsewhere) => {
    const files = filesOf(folder).filter((file) => !elsewhere.test(file));
    expect(files.length).toBeGreaterThan(10);
    const named = linksOf(index);
    expect(files.filter((file) => !named.has(file))).toEqual([]);
  });
});
