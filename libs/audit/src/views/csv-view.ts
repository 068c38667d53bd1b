import type { LeafView } from './leaf-view.js';

const COLUMNS = [
  ...(['tree', 'index', 'time', 'outcome', 'actor', 'roles', 'action', 'target', 'correlationId'] as const),
  ...(['story', 'passage', 'choice', 'toPassage', 'offset', 'record'] as const),
] as const satisfies readonly (keyof LeafView)[];

/** What a spreadsheet would take for a formula. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
/** The same within a cell, behind what separates cells where decimals have a comma: there, quotes within a line do not hold a cell together. */
const LATER = /(?<=[;\t])(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])/g;
const QUOTED = /[",\r\n]/;

/** RFC 4180: lines end with CR LF. */
export const csvHead = `${COLUMNS.join(',')}\r\n`;

export function csvLine(view: LeafView): string {
  return `${COLUMNS.map((name) => csvCell(name === 'time' ? new Date(view.time).toISOString() : view[name])).join(',')}\r\n`;
}

/** What begins like a formula gets an apostrophe before it, so that no spreadsheet computes it. */
export function csvCell(text: string): string {
  const inert = `${FORMULA.test(text) ? "'" : ''}${text.replace(LATER, "'")}`;
  return QUOTED.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}
