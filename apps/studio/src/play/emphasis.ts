export interface Run {
  readonly text: string;
  readonly emphasis: 'none' | 'em' | 'strong';
}

const MARKED = /\*\*(?=\S)([^*\n]{1,2000}?)(?<=\S)\*\*|\*(?=\S)([^*\n]{1,2000}?)(?<=\S)\*/g;

/** Paragraphs of a passage: blocks between blank lines; a single line break stays one. */
export const paragraphsOf = (text: string): readonly string[] =>
  text
    .split(/\n[ \t]*\n+/)
    .map((paragraph) => paragraph.trim())
    .filter((paragraph) => paragraph !== '');

/** `*emphasis*` and `**strong**` become runs, nothing else is markup: a story's text is never HTML. */
export function runsOf(paragraph: string): readonly Run[] {
  const runs: Run[] = [];
  let from = 0;
  for (const match of paragraph.matchAll(MARKED)) {
    if (match.index > from) runs.push({ text: paragraph.slice(from, match.index), emphasis: 'none' });
    runs.push(match[1] === undefined ? { text: match[2] ?? '', emphasis: 'em' } : { text: match[1], emphasis: 'strong' });
    from = match.index + match[0].length;
  }
  if (from < paragraph.length) runs.push({ text: paragraph.slice(from), emphasis: 'none' });
  return runs;
}

/** The same words without marks, for labels and announcements. */
export const plainOf = (text: string): string =>
  runsOf(text)
    .map((run) => run.text)
    .join('');
