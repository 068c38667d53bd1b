import * as fc from 'fast-check';
import { importStory, MAX_SOURCE_LENGTH, parseTwee, type StoryFormat } from './index.js';

const formats: readonly StoryFormat[] = ['json', 'yaml', 'twee'];
const long = process.env['FABULA_TEST_LONG'] !== undefined;
/** A megabyte in the long form. */
const MEGA = long ? 1_000_000 : 100_000;

/** Bits of all notations, so that random text runs into the readers' corners. */
const bits = fc.array(
  fc.constantFrom(
    ...(
      ':: |\n|[[|]]|->|<-||{%|%}|{{|}}|if |else|endif|choice |"|\'|\\|;|<<|>>|<<if |<<set |<</if>>|<<link |<<else>>|$x|_y|$x.y|(|)|(if: |(set: |(else:)|' +
      '(link: "a")[|(goto: "b")|[|]|{|}| to |: |- |? |&a |*a |!!str | |\t|\r\n|\uFEFF|gold|1|--|<script>|<!--|-->|/*|*/|<%|%>|StoryData|StoryVariables|StoryInit|' +
      'passages|__proto__|format|"SugarCube"|"Harlowe"|"Chapbook"|[if a]|random(1,6)|either("a","b")|visited("b")|(history:)|contains|`'
    ).split('|'),
    '||',
    '|',
    '\u0000',
    '\ud800',
    '🐉',
  ),
  { maxLength: 60 },
);
const twee = fc
  .tuple(
    fc.constantFrom(
      '',
      ':: StoryData\n{"format":"SugarCube"}\n',
      ':: StoryData\n{"format":"Harlowe"}\n',
      ':: StoryData\n{"format":"Chapbook"}\n',
      ':: StoryData\n{"format":"Fabula"}\n',
    ),
    bits,
  )
  .map(([head, body]) => `${head}:: Start\n${body.join('')}`);

describe('Hostile sources', () => {
  it('no text whatever makes an importer throw, and every problem has a place, a code and help', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...formats),
        fc.oneof(
          bits.map((list) => list.join('')),
          twee,
          fc.string({ unit: 'binary' }),
        ),
        (format, source) => {
          const result = importStory(format, source);
          for (const problem of result.problems) {
            expect(problem).toMatchObject({
              code: expect.stringMatching(/^FAB-G\d{3}$/),
              line: expect.any(Number),
              column: expect.any(Number),
            });
            expect(problem.message).not.toBe('');
            expect(problem.line).toBeGreaterThan(0);
            expect(problem.line).toBeLessThanOrEqual(source.split(/\r\n|\r|\n/).length + 1);
          }
          if (result.story === undefined) expect(result.problems.length).toBeGreaterThan(0);
        },
      ),
      { numRuns: long ? 50_000 : 500 },
    );
  });

  it('arbitrary text parses as a Twee container without losing a line', () => {
    fc.assert(
      fc.property(
        bits.map((list) => list.join('')),
        (source) => {
          const { passages } = parseTwee(source);
          const headers = source.split(/\r\n|\r|\n/).filter((line) => /^\uFEFF?::/.test(line)).length;
          expect(passages).toHaveLength(headers);
        },
      ),
      { numRuns: 200 },
    );
  });

  it.each(formats)('a %s source above the size limit is refused before it is read', (format) => {
    const { problems, story } = importStory(format, ' '.repeat(MAX_SOURCE_LENGTH + 1));
    expect(story).toBeUndefined();
    expect(problems.map((problem) => problem.code)).toEqual(['FAB-G901']);
  });

  it.each<[string, StoryFormat, string, string]>([
    ['JSON lists', 'json', '['.repeat(10_000) + ']'.repeat(10_000), 'FAB-G904'],
    ['JSON maps', 'json', '{"a":'.repeat(10_000) + '1' + '}'.repeat(10_000), 'FAB-G904'],
    ['unclosed JSON', 'json', '{"a":['.repeat(10_000), 'FAB-G904'],
    ['YAML flow lists', 'yaml', '['.repeat(10_000), 'FAB-G904'],
    ['YAML dashes', 'yaml', '- '.repeat(10_000) + 'x', 'FAB-G904'],
    ['YAML question marks', 'yaml', '? '.repeat(10_000) + 'x', 'FAB-G904'],
    ['YAML indentation', 'yaml', Array.from({ length: 1_000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), 'FAB-G904'],
    ['an alias bomb', 'yaml', 'a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n', 'FAB-G905'],
    ['a tag', 'yaml', 'title: !!binary aGk=\n', 'FAB-G905'],
    ['a merge key', 'yaml', 'a: {b: 1}\nc:\n  <<: *a\n', 'FAB-G905'],
    ['a key twice in YAML', 'yaml', 'id: a\nid: b\n', 'FAB-G903'],
    ['a key twice in JSON', 'json', '{"id": "a",\n "id": "b"}', 'FAB-G903'],
    ['__proto__ in JSON', 'json', '{"__proto__": {"id": "x"}}', 'FAB-G908'],
    ['__proto__ in YAML', 'yaml', '__proto__: {id: x}', 'FAB-G908'],
    ['a fraction', 'yaml', 'a: 1.5', 'FAB-G907'],
    ['a number that is whole only by luck', 'json', '{"a": 1e3}', 'FAB-G907'],
    ['NaN', 'yaml', 'a: .nan', 'FAB-G907'],
    ['infinity', 'yaml', 'a: -.inf', 'FAB-G907'],
    ['NaN in JSON', 'json', '{"a": NaN}', 'FAB-G902'],
    ['a number beyond 2^53', 'json', '{"a": 9007199254740993}', 'FAB-G907'],
    ['an escaped lone surrogate', 'json', '{"a": "\\ud800"}', 'FAB-G906'],
    ['a raw lone surrogate', 'twee', ':: Start\n\ud800', 'FAB-G906'],
    ['an escaped U+0000', 'json', '{"a": "\\u0000"}', 'FAB-G906'],
    ['a raw U+0000', 'yaml', 'a: \u0000', 'FAB-G906'],
    ['a list as key', 'yaml', '[a, b]: 1', 'FAB-G908'],
    ['two documents', 'yaml', 'a: 1\n---\nb: 2\n', 'FAB-G902'],
    [
      'a guard 10,000 deep',
      'yaml',
      `id: a\ntitle: A\nstart: s\npassages: {s: {text: [{when: "${'('.repeat(10_000)}", text: t}]}}`,
      'FAB-G011',
    ],
    ['a guard 10,000 deep in Twee', 'twee', `:: StoryVariables\n\n:: Start\n{% if ${'('.repeat(10_000)} %}x{% endif %}`, 'FAB-G011'],
  ])('%s', (_, format, source, code) => {
    const { problems, story } = importStory(format, source);
    expect(problems.map((problem) => problem.code)).toContain(code);
    expect(story).toBeUndefined();
    expect(Object.prototype).not.toHaveProperty('id');
  });

  const format = (name: string): string => `:: StoryData\n{"format":"${name}"}\n:: Start\n`;
  // No timing is asserted: a reader whose cost grows with the square of the length would not come to an end here within the test's time.
  it.each<[string, StoryFormat, string]>([
    ['a label of 1 MB', 'twee', `:: Start\n[[${'a'.repeat(MEGA)}->b]]`],
    ['open links', 'twee', `:: Start\n${'[['.repeat(MEGA / 2)}`],
    ['open tags', 'twee', `${format('Fabula')}${'{% '.repeat(MEGA / 3)}`],
    ['open tags with quotes', 'twee', `${format('Fabula')}${'{% "'.repeat(MEGA / 4)}`],
    ['open tags with apostrophes', 'twee', `${format('Fabula')}${"{% ' %}".repeat(MEGA / 7)}`],
    ['links with open tags', 'twee', `${format('Fabula')}${'[[a]] {% id '.repeat(MEGA / 12)}`],
    ['links and blanks', 'twee', `${format('Fabula')}${'[[a]]'.padEnd(2_000, ' ').repeat(MEGA / 2_000)}`],
    ['conditions never closed', 'twee', `${format('Fabula')}${'{% if true %}'.repeat(MEGA / 13)}`],
    ['conditions with many branches', 'twee', `${format('Fabula')}{% if turn == 1 %}${'{% else if turn == 2 %}x'.repeat(MEGA / 24)}`],
    ['open SugarCube macros', 'twee', `${format('SugarCube')}${'<<if '.repeat(MEGA / 5)}`],
    ['open SugarCube quotes', 'twee', `${format('SugarCube')}${"<<a '".repeat(MEGA / 5)}`],
    ['SugarCube links never closed', 'twee', `${format('SugarCube')}${'<<link "a" "b">>'.repeat(MEGA / 16)}`],
    ['SugarCube comments never closed', 'twee', `${format('SugarCube')}${'/* '.repeat(MEGA / 3)}`],
    [
      'SugarCube variables in a chain',
      'twee',
      `${format('SugarCube')}${Array.from({ length: MEGA / 50 }, (_, i) => `<<set $a${i + 1} to $a${i}>>`).join('')}`,
    ],
    ['a SugarCube condition of 1 MB', 'twee', `${format('SugarCube')}<<if ${'('.repeat(MEGA)}>>x<</if>>`],
    ['open Harlowe macros', 'twee', `${format('Harlowe')}${'(if: '.repeat(MEGA / 5)}`],
    ['Harlowe hooks never closed', 'twee', `${format('Harlowe')}${'(if: $a)['.repeat(MEGA / 10)}`],
    ['Harlowe links never closed', 'twee', `${format('Harlowe')}${'(link: "a")['.repeat(MEGA / 12)}`],
    ['open HTML', 'twee', `${format('SugarCube')}${'<a '.repeat(MEGA / 3)}`],
    ['scripts never closed', 'twee', `${format('SugarCube')}${'<script>x<br>'.repeat(MEGA / 13)}`],
    ['scripts', 'twee', `${format('SugarCube')}${'<script></script><style></STYLE>'.repeat(MEGA / 33)}`],
    ['Chapbook inserts', 'twee', `${format('Chapbook')}${'{a '.repeat(MEGA / 3)}`],
    ['Snowman templates never closed', 'twee', `${format('Snowman')}${'<% '.repeat(MEGA / 3)}`],
    ['blank lines', 'twee', `:: Start\na${'\n'.repeat(MEGA)}b`],
    ['blanks', 'twee', `:: Start\na${' '.repeat(MEGA)}b\n${' \n'.repeat(MEGA / 2)}`],
    ['headers', 'twee', ':: a\n'.repeat(MEGA / 5)],
    ['metadata', 'twee', `:: a ${'{'.repeat(MEGA)}`],
    ['a header with backslashes', 'twee', `:: ${'\\['.repeat(MEGA / 2)}`],
    ['declarations', 'twee', `:: StoryVariables\n${'a: set('.repeat(MEGA / 7)}`],
    ['a JSON string never closed', 'json', `{"a": "${'\\'.repeat(MEGA)}`],
    ['many JSON keys', 'json', `{${Array.from({ length: MEGA / 17 }, (_, i) => `"k${i}": ${i}`).join(',')}}`],
    ['many YAML keys', 'yaml', Array.from({ length: MEGA / 17 }, (_, i) => `k${i}: ${i}`).join('\n')],
    ['YAML anchors', 'yaml', '&a '.repeat(MEGA / 3)],
    ['YAML tokens', 'yaml', `[${'a,'.repeat(MEGA)}`],
    ['YAML comments', 'yaml', '# \n'.repeat(MEGA / 3)],
  ])('%s: an answer comes, linearly', (_, kind, source) => {
    const result = importStory(kind, source);
    expect(result.story !== undefined || result.problems.length > 0).toBe(true);
    expect(result.notImported.length).toBeLessThanOrEqual(2_001);
    for (const entry of result.notImported.slice(0, 50)) expect(entry.text.length).toBeLessThanOrEqual(202);
  });
});
