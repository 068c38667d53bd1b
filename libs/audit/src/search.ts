import type { LogName } from './log-name.js';

/** At least one of the three ids or a time must be given. Times are log times in ms, from ≤ time < to. */
export interface SearchQuery {
  readonly correlationId?: string;
  readonly playthroughId?: string;
  readonly actor?: string;
  readonly from?: number;
  readonly to?: number;
  /** 1…1,000 */
  readonly limit: number;
  /** Exclusive: the last hit of the page before. */
  readonly after?: SearchKey;
}

/** Hits are ordered by time, then tree, then index. */
export interface SearchKey {
  readonly time: number;
  readonly log: LogName;
  readonly index: bigint;
}
export interface SearchHit extends SearchKey {
  readonly offset: number;
  /** The leaf's exact bytes. */
  readonly bytes: Buffer;
}
export interface SearchPage {
  readonly hits: readonly SearchHit[];
  /** Where the next page starts; undefined on the last one. */
  readonly next: SearchKey | undefined;
}

export const MAX_SEARCH_LIMIT = 1000;

/** The stream that a playthrough's records are in. */
export const playthroughStream = (playthroughId: string): string => `playthrough/${playthroughId}`;

/** A page's end as opaque text. */
export function formatSearchKey(key: SearchKey): string {
  return Buffer.from(`${key.time} ${key.log} ${key.index}`).toString('base64url');
}

/** The inverse; undefined for text that it would not write. */
export function parseSearchKey(text: string): SearchKey | undefined {
  const match = /^([0-9]{1,16}) (p[0-9]{1,5}) ([0-9]{1,19})$/.exec(Buffer.from(text, 'base64url').toString('utf8'));
  if (match === null) return undefined;
  const key = { time: Number(match[1]), log: match[2] as LogName, index: BigInt(match[3] as string) };
  return formatSearchKey(key) === text ? key : undefined;
}

/** How logs compare within one time: by partition number. */
export function compareSearchKeys(a: SearchKey, b: SearchKey): number {
  return a.time - b.time || partitionNumber(a.log) - partitionNumber(b.log) || (a.index < b.index ? -1 : a.index > b.index ? 1 : 0);
}
function partitionNumber(log: LogName): number {
  return log === 'root' ? -1 : Number(log.slice(1));
}
