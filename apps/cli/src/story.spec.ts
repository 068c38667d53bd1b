import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { recorded } from './testing/recorded.js';

const CLOAKROOM = 'stories/the-cloakroom.twee';
const BELLS = 'stories/the-inspector-of-bells.yaml';

const story = (more: object = {}): object => ({
  fabula: 1,
  id: 'door',
  title: 'A door',
  start: 'hall',
  variables: { keys: { type: 'int', min: 0, max: 9, default: 0, public: true } },
  endings: { out: { title: 'Outside' }, late: { title: 'Too late' } },
  passages: {
    hall: {
      text: 'You have {{keys}} keys.',
      choices: [
        { id: 'open', label: 'Open the door', enabledWhen: 'keys > 0', reason: 'You have no key.', target: { end: 'out' } },
        { id: 'search', label: 'Search the coats', effects: [{ draw: 'keys', min: 1, max: 9 }], target: 'hall' },
        { id: 'wait', label: 'Wait on the stairs', target: 'stairs' },
      ],
    },
    stairs: {
      text: 'It grows dark.',
      choices: [
        { id: 'back', label: 'Go back', target: 'hall' },
        { id: 'night', label: 'Night', kind: 'timed', timeoutMs: 5000, target: { end: 'late' } },
      ],
    },
  },
  ...more,
});

describe('fabula story', () => {
  let folder: string;
  const file = (name: string, content: object | string): string => {
    const full = path.join(folder, name);
    writeFileSync(full, typeof content === 'string' ? content : JSON.stringify(content));
    return full;
  };
  beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'fabula-cli-'))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe('lint', () => {
    test.each([CLOAKROOM, BELLS])('finds nothing in %s and ends with 0', async (sample) => {
      const { code, out, err } = await recorded(['story', 'lint', sample]);
      expect(out).toContain('✓ 0 errors, 0 warnings');
      expect([code, err]).toEqual([0, '']);
    });

    test('ends with 1 for a story with errors and says where, what and what to do', async () => {
      const broken = file(
        'broken.twee',
        ':: StoryTitle\nBroken\n\n:: StoryData\n{"ifid": "0B5C0B5C-0B5C-4B5C-8B5C-0B5C0B5C0B5C"}\n\n:: Start\n[[Go->Nowhere]]\n<<widget "a">>b<</widget>>\n\n:: Lonely\nNobody.\n',
      );
      const { code, out } = await recorded(['story', 'lint', broken]);
      expect(code).toBe(1);
      expect(out).toMatch(/8:1 +error +FAB-G101/);
      expect(out).toContain('→ Write the passage or correct the target.');
      expect(out).toMatch(/11:1 +warning +FAB-G201 +in Lonely/);
      expect(out).toContain('Not taken over (1)');
      expect(out).toContain('<<widget "a">>');
      expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(Math.max(80, broken.length + 40));
    });

    test.each([
      ['yaml', 'id: a\ntitle: A\nstart: s\nvariables:\n  unread: { type: bool }\npassages:\n  s: { text: x }\n  lonely: { text: y }\n'],
      ['json', '{ "id": "a", "title": "A", "start": "s",\n  "passages": { "s": { "text": "x" },\n    "lonely": { "text": "y" } } }\n'],
    ])('shows line and column of every finding in %s', async (format, source) => {
      const { out } = await recorded(['story', 'lint', file(`placed.${format}`, source)]);
      expect(out).toMatch(format === 'yaml' ? /8:11 +warning +FAB-G201 +in lonely/ : /3:15 +warning +FAB-G201 +in lonely/);
      const heads = out.split('\n').filter((line) => /FAB-G\d+/.test(line));
      expect(heads.length).toBeGreaterThan(2);
      for (const head of heads) expect(head).toMatch(/^ +\d+:\d+ /);
    });

    test('gives programs the same as JSON', async () => {
      const broken = file('broken.json', story({ start: 'cellar' }));
      const { code, out } = await recorded(['story', 'lint', broken, '--json']);
      const report = JSON.parse(out) as Record<string, unknown>;
      expect(code).toBe(1);
      expect(report).toMatchObject({ ok: false, format: 'json', storyId: 'door', notImported: [] });
      expect((report['problems'] as { code: string; line: number }[])[0]).toMatchObject({ severity: 'error', line: 1 });
      expect(report['errors']).toBeGreaterThan(0);
    });

    test('lets no text of a story steer the terminal', async () => {
      const nasty = file('nasty.json', story({ title: 'A\u001b]0;owned\u0007 door\u202e' }));
      const { out } = await recorded(['story', 'lint', nasty]);
      expect(out).not.toMatch(/(?!\n)\p{Cc}|\u202e/u);
    });

    test('colours only where people look', async () => {
      expect((await recorded(['story', 'lint', CLOAKROOM])).out).not.toContain('\u001b[');
      expect((await recorded(['story', 'lint', CLOAKROOM], { coloured: true })).out).toContain('\u001b[32m✓');
    });

    test.each([
      ['a missing file', ['story', 'lint', 'no-such-file.json'], 'cannot be read'],
      ['an unknown ending', ['story', 'lint', 'package-lock.txt'], '--format json|yaml|twee'],
      ['an unknown format', ['story', 'lint', CLOAKROOM, '--format', 'ink'], 'Allowed choices are json, yaml, twee'],
      ['no file', ['story', 'lint'], "missing required argument 'file'"],
      ['an unknown option', ['story', 'lint', CLOAKROOM, '--fix'], "unknown option '--fix'"],
      ['an unknown command', ['story', 'lnit'], "unknown command 'lnit'"],
      ['a group alone', ['story'], 'Usage: fabula story'],
    ])('ends with 2 for %s', async (_what, argv, says) => {
      const { code, err, out } = await recorded(argv);
      expect(err).toContain(says);
      expect([code, out]).toEqual([2, '']);
    });
  });

  test('hash prints the same hash for the same content in another format', async () => {
    const asJson = await recorded(['story', 'hash', file('door.json', story())]);
    const asYaml = await recorded(['story', 'hash', file('door.yaml', JSON.stringify(story(), null, 2))]);
    expect(asJson).toEqual({ code: 0, out: expect.stringMatching(/^[0-9a-f]{64}\n$/) as string, err: '' });
    expect(asYaml.out).toBe(asJson.out);
  });

  test('graph prints Graphviz, Mermaid or JSON, one at a time', async () => {
    const door = file('door.json', story());
    expect((await recorded(['story', 'graph', door])).out).toMatch(/^digraph story \{/);
    expect((await recorded(['story', 'graph', door, '--mermaid'])).out).toMatch(/^flowchart TD/);
    const graph = JSON.parse((await recorded(['story', 'graph', door, '--json'])).out) as { nodes: { id: string }[] };
    expect(graph.nodes.map(({ id }) => id)).toEqual(['hall', 'stairs', 'ending/late', 'ending/out']);
    expect((await recorded(['story', 'graph', door, '--json', '--dot'])).code).toBe(2);
  });

  describe('play', () => {
    test('shows text and numbered choices, explains locked ones, and ends at an ending', async () => {
      const { code, out } = await recorded(['story', 'play', file('door.json', story())], { typed: ['1', '2', '1'] });
      expect(out).toContain('You have 0 keys.');
      expect(out).toContain('  1. Open the door (locked: You have no key.)');
      expect(out).toContain('> You have no key.');
      expect(out).toMatch(/You have [1-9] keys\./);
      expect(out).toContain('The end: Outside');
      expect(out.endsWith('\n')).toBe(true);
      expect(code).toBe(0);
    });

    test('the same seed gives the same draws, another one others', async () => {
      const door = file('door.json', story());
      const drawn = async (seed: string): Promise<string> =>
        (await recorded(['story', 'play', door, '--seed', seed], { typed: ['2'] })).out.split('Seed')[1]?.split('\n').slice(1).join('\n') ??
        '';
      expect(await drawn('a')).toBe(await drawn('a'));
      expect(new Set(await Promise.all(['a', 'b', 'c', 'd', 'e'].map(drawn))).size).toBeGreaterThan(1);
    });

    test('undo goes back as often as there were choices, and no further', async () => {
      const door = file('door.json', story());
      const { out } = await recorded(['story', 'play', door], { typed: ['3', '1', '3', 'u', 'u', 'u', 'u', 'q'] });
      const places = [...out.matchAll(/── (\w+) ─/g)].map(([, place]) => place);
      expect(places).toEqual(['hall', 'stairs', 'hall', 'stairs', 'hall', 'stairs', 'hall']);
      expect(out).toContain('This is the beginning.');
    });

    test('takes the timed choice when the reader waits too long', async () => {
      const { code, out } = await recorded(['story', 'play', file('door.json', story())], {
        typed: ['3', '1'],
        think: (question) => (question === 1 ? 6_000 : 0),
      });
      expect(out).toContain('You have 5 s.');
      expect(out).toContain('You waited too long.');
      expect(out).toContain('The end: Too late');
      expect(code).toBe(0);
    });

    test('plays at random, repeatably, and reaches every ending in many runs', async () => {
      const door = file('door.json', story());
      const argv = ['story', 'play', door, '--auto', '7', '--turns', '50', '--runs', '40', '--json'];
      const once = await recorded(argv);
      expect(await recorded(argv)).toEqual(once);
      const report = JSON.parse(once.out) as {
        ok: boolean;
        runs: { stateHash: string }[];
        endings: { reached: number }[];
        neverVisited: string[];
      };
      expect(once.code).toBe(0);
      expect(report.ok).toBe(true);
      expect(report.runs).toHaveLength(40);
      expect(report.endings.every(({ reached }) => reached > 0)).toBe(true);
      expect(report.neverVisited).toEqual([]);
    });

    test('ends with 1 where a story gets stuck, and says with which seed', async () => {
      const stuck = story({
        passages: {
          hall: { text: 'Four walls.', choices: [{ id: 'open', label: 'Open', enabledWhen: 'keys > 0', target: { end: 'out' } }] },
        },
      });
      const { code, out } = await recorded(['story', 'play', file('stuck.json', stuck), '--auto', 's']);
      expect(out).toContain('seed s got stuck at hall, turn 0');
      expect(code).toBe(1);
    });

    test('does not start a story with errors', async () => {
      const { code, err } = await recorded(['story', 'play', file('bad.json', story({ start: 'cellar' }))]);
      expect(err).toContain('has errors and cannot be played');
      expect(code).toBe(1);
    });
  });

  describe('diff', () => {
    const changed = story({
      title: 'Two doors',
      variables: { keys: { type: 'int', min: 0, max: 8, default: 0, public: true }, lamp: { type: 'bool' } },
      passages: {
        hall: {
          text: 'You have {{keys}} keys.',
          choices: [
            { id: 'search', label: 'Search the coats', effects: [{ draw: 'keys', min: 1, max: 8 }], target: 'hall' },
            { id: 'open', label: 'Open the door', enabledWhen: 'keys > 1', reason: 'You have no key.', target: { end: 'out' } },
          ],
        },
        cellar: { text: 'Cold.', choices: [{ id: 'up', label: 'Up', target: 'hall' }] },
      },
    });

    test('says which passages, choices and variables came, went and changed', async () => {
      const [a, b] = [file('a.json', story()), file('b.json', changed)];
      const { code, out, err } = await recorded(['story', 'diff', a, b, '--json']);
      expect([code, err]).toEqual([0, '']);
      expect(JSON.parse(out)).toMatchObject({
        same: false,
        story: [{ field: 'title', before: 'A door', after: 'Two doors' }],
        variables: { added: ['lamp'], removed: [], changed: [{ id: 'keys', changes: [{ field: 'max', before: 9, after: 8 }] }] },
        passages: { added: ['cellar'], removed: ['stairs'], changed: [{ id: 'hall', changes: [{ field: 'order of choices' }] }] },
        choices: {
          added: ['cellar/up'],
          removed: ['hall/wait', 'stairs/back', 'stairs/night'],
          changed: [{ id: 'hall/open', changes: [{ field: 'enabledWhen', before: 'keys > 0', after: 'keys > 1' }] }, { id: 'hall/search' }],
        },
      });
      const people = await recorded(['story', 'diff', a, b, '--exit-code']);
      expect(people.out).toContain('passages: 1 added, 1 removed, 1 changed');
      expect(people.code).toBe(1);
    });

    test('finds no difference between one story in two formats', async () => {
      const same = await recorded([
        'story',
        'diff',
        file('a.json', story()),
        file('a.yaml', JSON.stringify(story(), null, 1)),
        '--exit-code',
      ]);
      expect(same).toEqual({ code: 0, out: 'No difference.\n', err: '' });
    });
  });
});
