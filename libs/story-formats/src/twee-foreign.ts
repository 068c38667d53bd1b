import { forwardFinder } from './source-text.js';
import type { Piece } from './twee-body.js';
import type { Dialect } from './twee-dialect.js';
import { linkEnd, parseLink } from './twee-links.js';
import type { PassageSource } from './twee-reader.js';
import type { AuthorVariable } from './twee-variables.js';

export interface ForeignPassages {
  readonly pieces: readonly (readonly Piece[])[];
  readonly variables: { readonly [name: string]: AuthorVariable };
}

export function readForeignPassages(
  sources: readonly PassageSource[],
  _dialect: Exclude<Dialect, 'fabula'>,
  declared: { readonly [name: string]: AuthorVariable },
  _initialisers: readonly PassageSource[],
  _targetOf: (name: string) => string,
): ForeignPassages {
  return { variables: declared, pieces: sources.map(readPlain) };
}

function readPlain(source: PassageSource): readonly Piece[] {
  const { text } = source;
  const pieces: Piece[] = [];
  const findOpen = forwardFinder(text, '[[');
  const findClose = forwardFinder(text, ']]');
  const findNewline = forwardFinder(text, '\n');
  let start = 0;
  for (let at = findOpen(0); at !== -1; at = findOpen(at)) {
    const end = linkEnd(text, at, findClose, findNewline);
    if (end === -1) {
      at += 2;
      continue;
    }
    const link = parseLink(text.slice(at + 2, end - 2));
    if (at > start) pieces.push({ kind: 'text', text: text.slice(start, at) });
    source.report.counts.links++;
    pieces.push({
      kind: 'choice',
      inline: link.label,
      choice: { ...source.at(at), label: link.label, target: { passage: link.target }, effects: [] },
    });
    start = at = end;
  }
  if (start < text.length) pieces.push({ kind: 'text', text: text.slice(start) });
  return pieces;
}
