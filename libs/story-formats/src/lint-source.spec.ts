import { exportStory, importStory, lintSource, type StoryFormat } from './index.js';

/** Every finding as `code line:column`, and where the marks of the text stand. */
function found(format: StoryFormat, marked: string): { readonly findings: readonly string[]; readonly marks: readonly string[] } {
  const marks: string[] = [];
  const source = marked.replace(/⟦(FAB-G\d+) /g, (_, code: string, offset: number) => {
    const before = marked
      .slice(0, offset)
      .replace(/⟦FAB-G\d+ /g, '')
      .split('\n');
    marks.push(`${code} ${before.length}:${(before.at(-1) ?? '').length + 1}`);
    return '';
  });
  const { problems } = lintSource(format, source);
  return { findings: problems.map(({ code, line, column }) => `${code} ${line}:${column}`).toSorted(), marks: marks.toSorted() };
}

const YAML = `fabula: 1
id: a
title: A
start: s
variables:
  gold: { type: int, max: 9 }
  unread: ⟦FAB-G206 { type: bool }
endings:
  done: { title: Done }
  never: ⟦FAB-G212 { title: Never }
passages:
  s:
    text:
      - { when: ⟦FAB-G203 gold > 9, text: x }
    effects: [{ set: unread, to: 'true' }, { set: gold, to: '3' }]
    choices:
      - { id: go, label: Go, target: end }
      - { id: lost, label: Lost, target: ⟦FAB-G101 nowhere }
      - { id: shut, label: Shut, visibleWhen: ⟦FAB-G203 'gold == 0 && gold == 1', target: end }
  end: { text: End, ending: done }
  "lone~ly": ⟦FAB-G201 { text: Nobody. }
`;

const TWEE = `:: StoryTitle
A

:: StoryData
{"format":"Fabula"}

:: StoryVariables
gold: int 0..9
⟦FAB-G206 unread: bool

:: StoryEndings
done: Done
⟦FAB-G212 never: Never

:: s
{% set unread = true %}
[[Go->end]]
  ⟦FAB-G101 [[Lost->nowhere]]

:: end
{% ending done %}

⟦FAB-G201 :: Lonely
Nobody.
`;

describe('every finding of lint has its place in the source', () => {
  it.each<[string, StoryFormat, string]>([
    ['YAML', 'yaml', YAML],
    ['Twee', 'twee', TWEE],
  ])('in %s', (_, format, marked) => {
    const { findings, marks } = found(format, marked);
    expect(findings).toEqual(expect.arrayContaining([...marks]));
    expect(findings.filter((finding) => finding.includes('undefined'))).toEqual([]);
  });

  it('in JSON, whose text is the same story', () => {
    const { story } = importStory('yaml', YAML.replace(/⟦FAB-G\d+ /g, ''));
    if (story === undefined) throw new Error('the YAML above is a story');
    const text = exportStory(story, 'json');
    const { problems } = lintSource('json', text);
    const lines = text.split('\n');
    const at = (code: string): string => {
      const problem = problems.find((one) => one.code === code);
      return (lines[(problem?.line ?? 0) - 1] ?? '').slice((problem?.column ?? 0) - 1);
    };
    expect(at('FAB-G101')).toMatch(/^"nowhere"|^\{ ?"passage": ?"nowhere"|^\{$/);
    expect(lines.findIndex((line) => line.includes('"lone~ly"')) + 1).toBe(problems.find(({ code }) => code === 'FAB-G201')?.line);
    expect(problems.filter(({ line, column }) => line === undefined || column === undefined)).toEqual([]);
  });

  it('in the order of the file, each once, and as the import tells it where both know it', () => {
    const { problems, result } = lintSource('yaml', YAML.replace(/⟦FAB-G\d+ /g, ''));
    const places = problems.map(({ line = 0, column = 0 }) => line * 10_000 + column);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    const keys = problems.map(({ code, where }) => `${code} ${where.path}`);
    expect(new Set(keys).size).toBe(keys.length);
    for (const problem of result.problems) expect(problems).toContainEqual(problem);
  });

  it('says only what import says of a text that is no story', () => {
    for (const [format, text] of [
      ['json', '{'],
      ['yaml', 'a: *b'],
      ['twee', ':: s\n\u0000'],
    ] as const) {
      const { problems, result } = lintSource(format, text);
      expect(problems).toEqual(result.problems);
      expect(problems.length).toBeGreaterThan(0);
    }
  });

  it('finds thousands of findings in a large story without looking through it for each', () => {
    const passages = Array.from({ length: 4_000 }, (_, n) => `  p${n}: { text: x, choices: [{ id: a, label: A, target: q${n} }] }`);
    const { problems } = lintSource('yaml', `id: a\ntitle: A\nstart: p0\npassages:\n${passages.join('\n')}\n`);
    expect(problems.length).toBeGreaterThan(200);
    for (const { where, line } of problems) {
      const passage = /^\/passages\/p(\d+)/.exec(where.path)?.[1];
      if (passage !== undefined) expect(line).toBe(5 + Number(passage));
    }
  });
});
