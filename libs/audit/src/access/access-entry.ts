import { canonicalJson } from '#lib/canonical';
import type { LogId } from '#lib/log';
import type { Hash } from '../tlog/index.js';

/**
 * What happened, in the words of OWASP's Application Logging Vocabulary where it has one. Ours: `sensitive_export` (evidence leaves the
 * server), `sensitive_decrypt` (a sealed field was opened for somebody else than its reader).
 */
export const ACCESS_EVENTS = [
  'authn_login_fail',
  'authz_fail',
  'authz_admin',
  'excess_rate_limit_exceeded',
  'sensitive_create',
  'sensitive_read',
  'sensitive_update',
  'sensitive_delete',
  'sensitive_export',
  'sensitive_decrypt',
] as const;
export type AccessEvent = (typeof ACCESS_EVENTS)[number];

/** Names, ids and counts of what was looked at or looked for; never a body. */
export type AccessTarget = Readonly<Record<string, string | number>>;

/** Who did what, to what, and what came of it. */
export interface Access {
  readonly event: AccessEvent;
  /** When, ms since the epoch; of a summary: when it was written. */
  readonly at: number;
  /** Pseudonym; null when nobody proved who they are. */
  readonly actor: string | null;
  readonly roles: readonly string[];
  /** Method and route (`GET /audit/search`), or kind and fields of a GraphQL operation (`query playthrough`). */
  readonly action: string;
  readonly target?: AccessTarget | undefined;
  /** `ok`, or the code of the error that was answered. */
  readonly outcome: string;
  readonly correlationId: string | null;
  /** The stream that was looked at, when the target is one: entries are found by it. Not in the bytes. */
  readonly stream?: string | undefined;
  /** Of a summary: how often, first and last time. */
  readonly times?: { readonly count: number; readonly from: number; readonly to: number } | undefined;
}

/** What one entry of the tree `access` says, as canonical JSON. 64-bit integers and times (ms since the epoch) are decimal strings. */
export interface AccessEntry {
  readonly v: 1;
  readonly log: LogId;
  readonly tree: 'access';
  readonly index: string;
  readonly time: string;
  readonly event: AccessEvent;
  readonly actor: string | null;
  readonly roles: readonly string[];
  readonly action: string;
  readonly target: AccessTarget;
  readonly outcome: string;
  readonly correlationId: string | null;
  readonly count?: string;
  readonly from?: string;
  readonly to?: string;
  /** Leaf hash (RFC 6962) of the entry before; null in the first. */
  readonly previousLeaf: string | null;
}

export const MAX_WORD = 200;
const MAX_MEMBERS = 24;

/**
 * The exact bytes of an entry. Total: whatever callers sent, it holds at most 24 words of 200 characters.
 * @param place where it stands in its tree
 */
export function accessBytes(
  access: Access,
  place: { readonly logId: LogId; readonly index: bigint; readonly previousLeaf: Hash | null },
): Buffer {
  const { times } = access;
  const entry = {
    v: 1,
    log: place.logId,
    tree: 'access',
    index: String(place.index),
    time: String(access.at),
    event: access.event,
    actor: access.actor === null ? null : word(access.actor),
    roles: access.roles.slice(0, MAX_MEMBERS).map(word).toSorted(),
    action: word(access.action),
    target: bounded(access.target ?? {}),
    outcome: word(access.outcome),
    correlationId: access.correlationId === null ? null : word(access.correlationId),
    ...(times === undefined ? {} : { count: String(times.count), from: String(times.from), to: String(times.to) }),
    previousLeaf: place.previousLeaf?.toString('hex') ?? null,
  };
  return Buffer.from(canonicalJson(entry), 'utf8');
}

function bounded(target: AccessTarget): AccessTarget {
  return Object.fromEntries(
    Object.entries(target)
      .slice(0, MAX_MEMBERS)
      .map(([name, value]) => [word(name), typeof value === 'string' ? word(value) : Number.isSafeInteger(value) ? value : String(value)]),
  );
}

/** Control characters and lone surrogates have no place in names: a caller who sends them gets them replaced. */
export function word(text: string): string {
  return text
    .slice(0, MAX_WORD)
    .toWellFormed()
    .replace(/\p{Cc}/gu, '\u{fffd}');
}

/** What an entry says, from its bytes. @throws SyntaxError for bytes that are none */
export function accessEntryOf(bytes: Buffer): AccessEntry {
  return JSON.parse(bytes.toString('utf8')) as AccessEntry;
}
