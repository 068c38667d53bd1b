import { excerpt } from './source-text.js';

/*
 * The container of Twee 3 (twine-specs, twee-3-specification.md): headers, tags, metadata, bodies. What stands in a body
 * belongs to a story format and is not looked at here. Nothing is refused: what is odd becomes a warning with its line.
 */

export interface TweePassage {
  readonly name: string;
  readonly tags: readonly string[];
  /** The header's JSON object, e.g. `{"position": "10,20"}`; absent when there was none or it was broken. */
  readonly metadata?: { readonly [key: string]: unknown };
  /** Body with LF line ends, without the blank lines at its end. */
  readonly text: string;
  /** Line of the header, from 1; the body starts on the next. */
  readonly line: number;
}

export type TweeWarningCode =
  | 'TEXT_BEFORE_FIRST_PASSAGE'
  | 'PASSAGE_WITHOUT_NAME'
  | 'PASSAGE_NAME_TWICE'
  | 'METADATA_BROKEN'
  | 'HEADER_ORDER'
  | 'HEADER_UNCLOSED'
  | 'HEADER_LEFTOVER'
  | 'STORY_DATA_BROKEN'
  | 'STORY_DATA_MISSING';

export interface TweeWarning {
  readonly code: TweeWarningCode;
  readonly line: number;
  readonly message: string;
}

export interface TweeDocument {
  /** Body of `StoryTitle`. */
  readonly title?: string;
  /** The JSON object in `StoryData`. */
  readonly data?: { readonly [key: string]: unknown };
  /** All passages in file order: special ones, code and duplicates too. */
  readonly passages: readonly TweePassage[];
  /** Text above the first header, if there was any but white space. */
  readonly prologue?: string;
  readonly warnings: readonly TweeWarning[];
}

/** Passages with these tags hold code for a browser. They are reported and never run. */
export const CODE_TAGS: ReadonlySet<string> = new Set(['script', 'stylesheet']);

/** Joins files to one source; each file's first header starts a line whatever the former's end was. */
export const joinTwee = (files: readonly string[]): string => files.map((file) => file.replace(/^\uFEFF/, '')).join('\n');

/** Reads the container. Linear in the length of `source`; never throws. */
export function parseTwee(source: string): TweeDocument {
  const warnings: TweeWarning[] = [];
  const passages: TweePassage[] = [];
  const seen = new Map<string, number>();
  const lines = source.split(/\r\n|\n|\r/);
  let open: { readonly header: Header; readonly line: number; readonly from: number } | undefined;
  let prologue: string | undefined;

  const close = (end: number): void => {
    if (open === undefined) {
      const text = lines
        .slice(0, end)
        .join('\n')
        .replace(/^\uFEFF/, '');
      if (text.trim() === '') return;
      prologue = text;
      warnings.push({ code: 'TEXT_BEFORE_FIRST_PASSAGE', line: 1, message: 'Text above the first passage header belongs to no passage.' });
      return;
    }
    let last = end;
    while (last > open.from && (lines[last - 1] as string).trim() === '') last--;
    const { name, tags, metadata } = open.header;
    passages.push({ name, tags, ...(metadata && { metadata }), text: lines.slice(open.from, last).join('\n'), line: open.line });
    const first = seen.get(name);
    if (first === undefined) seen.set(name, open.line);
    else
      warnings.push({
        code: 'PASSAGE_NAME_TWICE',
        line: open.line,
        message: `The passage name '${excerpt(name, 80)}' is used before, on line ${first}; the first one counts.`,
      });
  };

  for (let i = 0; i < lines.length; i++) {
    let text = lines[i] as string;
    // A byte order mark in front of a header is what is left of a file that was appended to another.
    if (text.startsWith('\uFEFF::')) text = text.slice(1);
    if (!text.startsWith('::')) continue;
    close(i);
    open = { header: parseHeader(text.slice(2), i + 1, warnings), line: i + 1, from: i + 1 };
  }
  close(lines.length);

  const titlePassage = passages.find((passage) => passage.name === 'StoryTitle');
  const data = storyData(passages, warnings);
  return {
    ...(titlePassage && { title: titlePassage.text.trim() }),
    ...(data && { data }),
    passages,
    ...(prologue !== undefined && { prologue }),
    warnings,
  };
}

interface Header {
  readonly name: string;
  readonly tags: readonly string[];
  readonly metadata?: { readonly [key: string]: unknown };
}

function parseHeader(header: string, line: number, warnings: TweeWarning[]): Header {
  const warn = (code: TweeWarningCode, message: string): void => void warnings.push({ code, line, message });
  const nameEnd = unescaped(header, 0, '[{');
  const name = decode(header.slice(0, nameEnd).trim());
  let rest = header.slice(nameEnd).trim();
  let tags: string[] = [];
  let metadata: { readonly [key: string]: unknown } | undefined;
  const readTags = (): void => {
    const end = unescaped(rest, 1, ']');
    if (end === rest.length) warn('HEADER_UNCLOSED', 'The tags of this header have no closing bracket.');
    tags = rest
      .slice(1, end)
      .split(/\s+/)
      .filter((tag) => tag !== '')
      .map(decode);
    rest = rest.slice(end + 1).trim();
  };

  if (name === '') warn('PASSAGE_WITHOUT_NAME', 'A passage header needs a name.');
  if (rest.startsWith('[')) readTags();
  if (rest.startsWith('{')) {
    // Tags behind the metadata are against the order of the specification, but seen in the wild.
    const trailing = /^(\{.*\})\s*(\[[^\]{}]*\])$/.exec(rest);
    if (trailing) {
      warn('HEADER_ORDER', 'Tags stand before metadata in a header.');
      rest = trailing[2] as string;
      readTags();
      rest = trailing[1] as string;
    }
    metadata = jsonObject(rest);
    if (metadata === undefined) warn('METADATA_BROKEN', `The metadata of this header is not a JSON object: ${excerpt(rest, 80)}`);
  } else if (rest !== '') {
    warn('HEADER_LEFTOVER', `The end of this header is not read: ${excerpt(rest, 80)}`);
  }
  return { name, tags, ...(metadata && { metadata }) };
}

/** Index of the first of `characters` at or behind `from` that no backslash escapes; the length if there is none. */
function unescaped(text: string, from: number, characters: string): number {
  for (let i = from; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (characters.includes(text[i] as string)) return i;
  }
  return text.length;
}

/** The specification names five escapes; readers decode any `\q` to `q`. */
const decode = (text: string): string => text.replace(/\\([\s\S])/g, '$1');

/** Writes a name or tag so that a header gives it back. */
export const encodeHeaderText = (text: string): string => text.replace(/[\\[\]{}]/g, '\\$&');

function jsonObject(text: string): { readonly [key: string]: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as { [key: string]: unknown }) : undefined;
  } catch {
    return undefined; // Broken JSON is the caller's warning.
  }
}

function storyData(passages: readonly TweePassage[], warnings: TweeWarning[]): { readonly [key: string]: unknown } | undefined {
  const passage = passages.find((candidate) => candidate.name === 'StoryData');
  if (passage === undefined) {
    warnings.push({ code: 'STORY_DATA_MISSING', line: 1, message: 'There is no StoryData passage; defaults are taken.' });
    return undefined;
  }
  const data = jsonObject(passage.text);
  if (data === undefined)
    warnings.push({ code: 'STORY_DATA_BROKEN', line: passage.line, message: 'StoryData does not hold a JSON object.' });
  return data;
}
