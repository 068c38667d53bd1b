import type { SideName, SideResult } from './measure/rounds.js';

/** What a row is asked to do. */
export interface RowContext {
  readonly rounds: number;
  /** How long each side runs per round, where a row runs for a time. */
  readonly seconds: number;
  /** A small run that only proves that the bench works: fixed amounts shrink. */
  readonly smoke: boolean;
  /** The bench's own cluster; rows that need none never touch it. */
  readonly postgres: { readonly adminUrl: string; readonly pid: number };
  /** Brokers, for rows that say that they need them; `pids` are empty where they are not the bench's own. */
  readonly kafka?: { readonly brokers: readonly string[]; readonly pids: readonly number[] } | undefined;
  /** A folder for this row alone, removed afterwards. */
  readonly folder: string;
  /** Where CPU profiles go, if they are wanted. */
  readonly profile?: string | undefined;
  progress(text: string): void;
}

/** A ratio that was promised: of medians over rounds, `fabula / other`. */
export interface Goal {
  readonly to: 'peer' | 'floor';
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface RowReport {
  readonly row: string;
  readonly unit: string;
  readonly goals: readonly Goal[];
  readonly sides: Partial<Record<SideName, SideResult>>;
  readonly foreignCpu?: number | undefined;
  /** What was checked of the row's own result, in words; a row that cannot show it fails instead. */
  readonly verified: readonly string[];
  /** Who the other sides are. */
  readonly peer?: string;
  readonly floor?: string;
  /** Further figures of this row. */
  readonly extra?: Readonly<Record<string, number | string>>;
}

/** A bench that does not do the work it claims has no figures. */
export class NotVerified extends Error {
  override readonly name = 'NotVerified';
}

export function verify(what: string, holds: boolean, detail = ''): string {
  if (!holds) throw new NotVerified(`not true: ${what}${detail === '' ? '' : ` (${detail})`}`);
  return what;
}

/** One or more report lines from one run: rows that share their measurement come together. */
export type Row = (context: RowContext) => Promise<readonly RowReport[]>;
