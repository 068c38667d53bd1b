import * as fc from 'fast-check';
import { joinTwee, parseTwee } from './index.js';
import { encodeHeaderText } from './twee-document.js';

describe('The Twee 3 container', () => {
  it('reads name, tags and metadata of a header', () => {
    expect(parseTwee(':: The Hall [big  dark] {"position":"10,20","size":[1]}\nText').passages).toEqual([
      { name: 'The Hall', tags: ['big', 'dark'], metadata: { position: '10,20', size: [1] }, text: 'Text', line: 1 },
    ]);
  });

  it.each([
    ['::Hall', 'Hall', []],
    ['::   Hall  [a]', 'Hall', ['a']],
    [':: \\[Hall\\] \\{x\\} \\\\ \\q [a\\]b c\\d]', '[Hall] {x} \\ q', ['a]b', 'cd']],
    [':: Hall[a]{"x":1}', 'Hall', ['a']],
    [':: Hall []', 'Hall', []],
    [':: Hall {"x":1} [a]', 'Hall', ['a']],
  ])('%s', (header, name, tags) => {
    expect(parseTwee(`${header}\nText`).passages[0]).toMatchObject({ name, tags });
  });

  it('gives back every name and tag that was escaped', () => {
    const name = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
      .filter((text) => text.trim() === text && text !== '' && !/[\r\n]/.test(text));
    fc.assert(
      fc.property(
        name,
        fc.array(
          name.filter((tag) => !/\s/.test(tag)),
          { maxLength: 3 },
        ),
        (text, tags) => {
          const header = `:: ${encodeHeaderText(text)} [${tags.map(encodeHeaderText).join(' ')}]`;
          expect(parseTwee(header).passages[0]).toMatchObject({ name: text, tags });
        },
      ),
    );
  });

  it('keeps line numbers over BOM, CRLF, CR and appended files, and reads a header that ends the file', () => {
    const { passages, title } = parseTwee('\uFEFF:: StoryTitle\r\nThe Tale\r\n\r\n:: A\rone\r\r\uFEFF:: B\ntwo\n\n\n:: C');
    expect(title).toBe('The Tale');
    expect(passages.map(({ name, text, line }) => [name, text, line])).toEqual([
      ['StoryTitle', 'The Tale', 1],
      ['A', 'one', 4],
      ['B', 'two', 7],
      ['C', '', 11],
    ]);
    expect(parseTwee(joinTwee([':: A\none', '\uFEFF:: B\ntwo'])).passages.map((passage) => passage.name)).toEqual(['A', 'B']);
  });

  it('warns of what is odd with its line, and keeps all passages', () => {
    const document = parseTwee('Notes\n:: A {"position}\n:: A [x\n::\n:: B [y] <1,2>\n:: StoryData\n{"ifid":\n');
    expect(document.warnings.map(({ code, line }) => [code, line])).toEqual(
      [
        ['TEXT_BEFORE_FIRST_PASSAGE', 1],
        ['METADATA_BROKEN', 2],
        ['HEADER_UNCLOSED', 3],
        ['PASSAGE_NAME_TWICE', 3],
        ['PASSAGE_WITHOUT_NAME', 4],
        ['HEADER_LEFTOVER', 5],
        ['STORY_DATA_BROKEN', 6],
      ].filter((entry) => entry !== undefined),
    );
    expect(document.passages).toHaveLength(5);
    expect(document.prologue).toBe('Notes');
  });
});
