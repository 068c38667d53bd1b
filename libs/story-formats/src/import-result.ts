import type { Problem, Story } from '#lib/story';
import { excerpt } from './source-text.js';

export type StoryFormat = 'json' | 'yaml' | 'twee';

/** Larger sources are refused before they are read, in UTF-16 units. */
export const MAX_SOURCE_LENGTH = 8 * 1024 * 1024;
/** Entries kept of each list in a report; what goes beyond is counted in one last entry. */
export const MAX_REPORT_ENTRIES = 2_000;

export type NotImportedKind =
  'macro' | 'condition' | 'assignment' | 'link' | 'script' | 'style' | 'html' | 'comment' | 'passage' | 'metadata';

/** One piece of the source that is not in the story, or only as plain text. */
export interface NotImported {
  /** From 1. */
  readonly line: number;
  readonly passage?: string;
  readonly kind: NotImportedKind;
  /** The source, at most 200 characters of it. */
  readonly text: string;
  readonly reason: string;
  /** What an author can do about it. */
  readonly hint: string;
}

/** How much of a Twee source became guards, effects, choices and text. */
export interface TranslatedCounts {
  readonly passages: number;
  readonly links: number;
  readonly guards: number;
  readonly effects: number;
  readonly texts: number;
}

export interface ImportWarning {
  readonly line: number;
  readonly code: string;
  readonly message: string;
}

/** A story is there if the source could be read at all; it may still have problems that forbid publishing. */
export interface ImportResult {
  readonly story?: Story;
  /** Content hash of the story. */
  readonly hash?: string;
  /** With line and column of the source. */
  readonly problems: readonly Problem[];
  readonly notImported: readonly NotImported[];
  readonly translated: TranslatedCounts;
  readonly warnings: readonly ImportWarning[];
}

export const NOTHING_TRANSLATED: TranslatedCounts = { passages: 0, links: 0, guards: 0, effects: 0, texts: 0 };

/** Codes of the source text itself; what the story says wrong has the codes of `#lib/story`. */
export const SOURCE_PROBLEMS = {
  tooLarge: 'FAB-G901',
  syntax: 'FAB-G902',
  duplicateKey: 'FAB-G903',
  tooDeep: 'FAB-G904',
  yamlFeature: 'FAB-G905',
  character: 'FAB-G906',
  number: 'FAB-G907',
  key: 'FAB-G908',
  macro: 'FAB-G909',
} as const;

export function sourceProblem(
  code: (typeof SOURCE_PROBLEMS)[keyof typeof SOURCE_PROBLEMS],
  at: { readonly line: number; readonly column: number },
  message: string,
  help: string,
  path = '',
): Problem {
  return { code, severity: 'error', message: excerpt(message, 400), where: { path }, line: at.line, column: at.column, help };
}

export const refused = (problem: Problem): ImportResult => ({
  problems: [problem],
  notImported: [],
  translated: NOTHING_TRANSLATED,
  warnings: [],
});
