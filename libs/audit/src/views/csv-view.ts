import type { LeafView } from './leaf-view.js';

const COLUMNS = [
  ...(['tree', 'index', 'time', 'outcome', 'actor', 'roles', 'action', 'target', 'correlationId'] as const),
  ...(['story', 'passage', 'choice', 'toPassage', 'offset', 'record'] as const),
] as const satisfies readonly (keyof LeafView)[];

/** What a spreadsheet would take for a formula. */
const FORMULA = /^[=+\-@\t\r]/;
const QUOTED = /[",\r\n]/;

/** RFC 4180: lines end with CR LF. */
export const csvHead = `${COLUMNS.join(',')}\r\n`;

export function csvLine(view: LeafView): string {
  return `${COLUMNS.map((name) => csvCell(name === 'time' ? new Date(view.time).toISOString() : view[name])).join(',')}\r\n`;
}

/** A cell that begins like a formula gets an apostrophe before it, so that no spreadsheet computes it. */
export function csvCell(text: string): string {
  const inert = FORMULA.test(text) ? `'${text}` : text;
  return QUOTED.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}
