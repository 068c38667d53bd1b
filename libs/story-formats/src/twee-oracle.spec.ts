import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseTwee as parseByExtwee } from 'extwee';
import { exportStory, importStory, joinTwee, parseTwee } from './index.js';
import { CODE_TAGS } from './twee-document.js';
import { draftOfTwee } from './twee-import.js';

/*
 * Every Twee source among the shared stories against independent readers: extwee 2.3.18 for the container, Twine's own link rule
 * (a regular expression, written here again) for the links.
 */

const storiesDir = process.env['FABULA_STORIES_DIR'] ?? '../shared/stories';
const present = existsSync(storiesDir);
const required = (process.env['FABULA_TEST_REQUIRE'] ?? '').split(',').includes('stories');

interface Case {
  readonly name: string;
  readonly source: string;
}

function filesBelow(dir: string): readonly string[] {
  return readdirSync(dir)
    .sort()
    .flatMap((entry) => {
      const path = join(dir, entry);
      return statSync(path).isDirectory() ? filesBelow(path) : [path];
    });
}

function cases(): readonly Case[] {
  if (!present) return [];
  const twee = filesBelow(storiesDir).filter((path) => /\.(twee|tw)$|_twee\.txt$/.test(path));
  const ordson = twee.filter((path) => path.includes('sons-of-ordson'));
  const read = (path: string): string => readFileSync(path, 'utf8');
  return [
    { name: `sons-of-ordson (${ordson.length} files)`, source: joinTwee(ordson.map(read)) },
    ...twee.filter((path) => !ordson.includes(path)).map((path) => ({ name: relative(storiesDir, path), source: read(path) })),
  ];
}

/** Where extwee is wrong or reads another notation; each entry says what it gives instead of our names. */
const KNOWN_FAULTS: { readonly [name: string]: { readonly why: string; readonly ours?: (name: string) => string } } = {
  'tweego-notation-examples/twee2.tw': {
    why: 'Twee 2 positions `<860,401>` behind tags: extwee joins name and position across the tags; we end the name at the tags and warn',
    ours: (name) => name.replace('three tags', 'three tags  <860,530>'),
  },
};

/** Passages that extwee keeps out of its list and stores as the story's own fields. */
const STORED_ELSEWHERE = new Set(['StoryData', 'StoryTitle']);

interface Oracle {
  readonly names: readonly string[];
  readonly code: string;
}

function oracle(source: string): Oracle {
  // extwee mangles a BOM and throws on a header that ends the file without a newline: both are mended before it reads.
  const story = parseByExtwee(`${source.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n')}\n`);
  return {
    names: story.passages.map((passage) => passage.name).filter((name) => !STORED_ELSEWHERE.has(name)),
    code: `${story.storyJavaScript}\n${story.storyStylesheet}`,
  };
}

/** Twine's rule: [[…]] on one line; cut at `][`; the last `->`, else the first `<-`, else the last `|`. */
function linksByRegex(text: string): readonly string[] {
  return [...text.matchAll(/\[\[(.*?)\]\]/g)].map(([, inside = '']) => {
    const link = inside.split('][')[0] as string;
    const right = /^(?:.*)->(.*)$/.exec(link)?.[1];
    const left = /^(.*?)<-/.exec(link)?.[1];
    const bar = /^(?:.*)\|(.*)$/.exec(link)?.[1];
    return (right ?? left ?? bar ?? link).trim();
  });
}

interface Row {
  readonly story: string;
  readonly passages: number;
  readonly oracle: number;
  readonly links: number;
  readonly oracleLinks: number;
  readonly guards: string;
  readonly effects: string;
  readonly notImported: number;
  readonly hash: string;
}

const rows: Row[] = [];
const all = cases();

if (!present && required) it('the shared stories are there', () => expect(storiesDir).toBe('an existing directory'));

(present ? describe : describe.skip)(
  `Twee stories and cases (skipped: no stories at ${storiesDir})`.replace(present ? /\(.*\)/ : /$^/, ''),
  () => {
    afterAll(() => {
      const head: Row = {
        story: 'story',
        passages: 0,
        oracle: 0,
        links: 0,
        oracleLinks: 0,
        guards: 'guards +/-',
        effects: 'effects +/-',
        notImported: 0,
        hash: '',
      };
      const line = (row: Row, title = false): string =>
        [
          row.story.slice(-58).padEnd(58),
          (title ? 'passages' : `${row.passages}/${row.oracle}`).padStart(9),
          (title ? 'links' : `${row.links}/${row.oracleLinks}`).padStart(9),
          row.guards.padStart(11),
          row.effects.padStart(12),
          (title ? 'not imported' : String(row.notImported)).padStart(13),
          title ? 'draft' : row.hash === '' ? '-' : row.hash.slice(0, 8),
        ].join(' ');
      process.stdout.write(
        `\nTwee imports: ours/oracle; guards and effects translated/not\n${[line(head, true), ...rows.map((row) => line(row))].join('\n')}\n`,
      );
    });

    it('there are all the cases that the index lists', () => {
      expect(all.length).toBeGreaterThanOrEqual(1 + 1 + 94 + 23 + 4);
    });

    it.each(all.map((one) => [one.name, one] as const))('%s', (name, { source }) => {
      const info = jest.spyOn(console, 'info').mockImplementation(() => undefined);
      const warn = jest.spyOn(console, 'warn').mockImplementation(() => undefined);
      const document = parseTwee(source);
      const { names: theirs, code } = oracle(source);
      info.mockRestore();
      warn.mockRestore();
      const result = importStory('twee', source);

      const seen = new Set<string>();
      const fault = KNOWN_FAULTS[name];
      // extwee joins the bodies of code passages and drops their names: the bodies must be there.
      const isCode = (passage: { readonly tags: readonly string[] }): boolean => passage.tags.some((tag) => CODE_TAGS.has(tag));
      for (const passage of document.passages.filter(isCode)) expect(code).toContain(passage.text.trim());
      const ours = document.passages
        .filter((passage) => !isCode(passage))
        .map((passage) => passage.name)
        .filter((passage) => !STORED_ELSEWHERE.has(passage) && !seen.has(passage) && seen.add(passage))
        .map((passage) => fault?.ours?.(passage) ?? passage);
      expect([...ours].sort()).toEqual([...theirs].sort());

      // Each [[link]] of a passage that is in the story is a choice there, or stands in the report with the reason.
      const draft = draftOfTwee(document, {});
      const passages = (draft.form as { passages: { [id: string]: { choices: { target: { passage?: string } }[] } } }).passages;
      let links = 0;
      let oracleLinks = 0;
      const counted = new Set<string>();
      for (const passage of document.passages) {
        const form = passages[passage.name.replaceAll('/', '-')];
        if (form === undefined || counted.has(passage.name)) continue;
        counted.add(passage.name);
        const wanted = linksByRegex(passage.text);
        const have = form.choices.map((choice) => choice.target.passage ?? '');
        const reported = result.notImported.filter((entry) => entry.passage === passage.name).map((entry) => entry.text);
        oracleLinks += wanted.length;
        for (const target of wanted) {
          const at = have.indexOf(target.replaceAll('/', '-'));
          if (at !== -1) have.splice(at, 1);
          else expect(reported.join('\n')).toContain(target);
        }
        links += form.choices.length;
      }

      const skipped = (kind: string): number => result.notImported.filter((entry) => entry.kind === kind).length;
      rows.push({
        story: name,
        passages: ours.length,
        oracle: theirs.length,
        links,
        oracleLinks,
        guards: `${result.translated.guards}/${skipped('condition')}`,
        effects: `${result.translated.effects}/${skipped('assignment')}`,
        notImported: result.notImported.length,
        hash: result.hash ?? '',
      });
      if (Object.keys(passages).length === 0) return;
      expect(result.problems.filter((problem) => problem.code < 'FAB-G100' || problem.code > 'FAB-G900')).toEqual([]);
      const { story } = result;
      if (story === undefined) throw new Error('the source gives a story');
      expect(importStory('twee', exportStory(story, 'twee')).hash).toBe(result.hash);
      for (const entry of result.notImported)
        expect(entry).toMatchObject({ line: expect.any(Number), reason: expect.stringMatching(/./), hint: expect.stringMatching(/./) });
    });
  },
);
