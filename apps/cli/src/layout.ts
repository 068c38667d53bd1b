import type { Terminal } from './terminal.js';

const CODES = { bold: [1, 22], dim: [2, 22], italic: [3, 23], red: [31, 39], green: [32, 39], yellow: [33, 39], cyan: [36, 39] } as const;
export type Tone = keyof typeof CODES;
export type Paint = (tone: Tone, text: string) => string;

export const painter = ({ coloured }: Pick<Terminal, 'coloured'>): Paint =>
  coloured ? (tone, text) => (text === '' ? '' : `\u001b[${CODES[tone][0]}m${text}\u001b[${CODES[tone][1]}m`) : (_tone, text) => text;

/** Text from stories and servers must not steer the terminal: control characters and direction overrides become visible. */
export const plain = (text: string): string =>
  text.replaceAll('\r\n', '\n').replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (char) => (char === '\n' ? char : '\ufffd'));

export const oneLine = (text: string): string => plain(text.replace(/\s+/g, ' ').trim());

const widthOf = (text: string): number => {
  let width = 0;
  for (const char of text) {
    // Combining marks and joiners take no room, East Asian wide characters and emoji two.
    if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(char)) continue;
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\p{Emoji_Presentation}]/u.test(
      char,
    )
      ? 2
      : 1;
  }
  return width;
};

export function clipped(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let out = '';
  let room = Math.max(1, width - 1);
  for (const char of text) {
    room -= widthOf(char);
    if (room < 0) break;
    out += char;
  }
  return `${out}…`;
}

/** Hashes and addresses may be wider than any line. */
function pieces(word: string, room: number): readonly string[] {
  if (widthOf(word) <= room) return [word];
  const parts: string[] = [''];
  for (const char of word) {
    if (widthOf((parts.at(-1) ?? '') + char) > room) parts.push('');
    parts[parts.length - 1] += char;
  }
  return parts;
}

/** Lines of at most `width`, broken between words; the author's own line breaks stay. Every line but the first gets `indent`. */
export function wrapped(text: string, width: number, indent = ''): string {
  const room = Math.max(20, width - indent.length);
  const lines: string[] = [];
  for (const paragraph of plain(text).split('\n')) {
    let line = '';
    for (const word of paragraph.split(/[ \t]+/).flatMap((whole) => pieces(whole, room))) {
      if (line !== '' && widthOf(line) + 1 + widthOf(word) > room) {
        lines.push(line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines.join(`\n${indent}`);
}

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string | number;
  readonly tone?: (row: Row) => Tone | undefined;
  /** May be cut short when the table is wider than the window. */
  readonly flexible?: true;
}

const GAP = '  ';

/** A table with a head; numbers stand to the right. */
export function table<Row>(terminal: Terminal, rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const paint = painter(terminal);
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row)));
  const texts = cells.map((line) => line.map((cell) => (typeof cell === 'number' ? grouped(cell) : oneLine(cell))));
  const widths = columns.map(({ title }, at) => Math.max(widthOf(title), ...texts.map((line) => widthOf(line[at] ?? ''))));
  shrink(widths, columns, terminal.columns);
  const padded = (text: string, at: number, right: boolean): string => {
    const shown = clipped(text, widths[at] ?? 0);
    const space = ' '.repeat(Math.max(0, (widths[at] ?? 0) - widthOf(shown)));
    return right ? space + shown : shown + space;
  };
  const numeric = columns.map((_, at) => cells.length > 0 && cells.every((line) => typeof line[at] === 'number'));
  const head = columns.map(({ title }, at) => padded(title, at, numeric[at] === true)).join(GAP);
  const lines = rows.map((row, line) =>
    columns
      .map(({ tone }, at) => {
        const text = padded(texts[line]?.[at] ?? '', at, numeric[at] === true);
        const chosen = tone?.(row);
        return chosen === undefined ? text : paint(chosen, text);
      })
      .join(GAP)
      .trimEnd(),
  );
  return [paint('dim', head.trimEnd()), ...lines, ''].join('\n');
}

/** Takes what is too much from the widest flexible column, again and again. */
function shrink(widths: number[], columns: readonly { readonly flexible?: true }[], room: number): void {
  const total = (): number => widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  while (total() > room) {
    const widest = columns.reduce<number>(
      (best, { flexible }, at) => (flexible && (widths[at] ?? 0) > (widths[best] ?? 0) ? at : best),
      -1,
    );
    if (widest === -1 || (widths[widest] ?? 0) <= 8) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

/** 1234567 → `1,234,567`, whatever the locale. */
export const grouped = (value: number | bigint | string): string => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
export const counted = (count: number, one: string, many = `${one}s`): string => `${grouped(count)} ${count === 1 ? one : many}`;

/** 2026-11-23 17:58:22Z */
export const instant = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`;

export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
}

export function byteSize(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  for (const [unit, size] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
  ] as const)
    if (bytes >= size) return `${(bytes / size).toFixed(1)} ${unit}`;
  return `${(bytes / 1_024).toFixed(1)} KiB`;
}

export const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
