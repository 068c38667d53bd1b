import { randomUUID } from 'node:crypto';
import { LogDamaged, type Offset } from '../event-log.js';
import { actualEnd } from './append-outcome.js';
import { collect } from './event-flow.js';
import type { EventStoreClient } from './event-store-client.js';

/** What the newest event of a metadata stream says. */
export interface StreamBounds {
  /** First offset that Fabula has not forgotten. */
  readonly begin: Offset;
  /** Settings with which the server loses records that Fabula did not forget. */
  readonly limits: readonly string[];
  /** All of it, ours and others' (access lists): a change writes the rest as it was. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Of the metadata stream; undefined where there is none. */
  readonly revision: bigint | undefined;
}

const TYPE = '$metadata';
/**
 * Where Fabula's own bound stands, beside the server's `$tb`. By it what was forgotten on purpose is told from a stream that somebody cut;
 * and `$tb` can stay one behind it: a stream keeps its last event, so that its revisions are known to go on from there.
 */
const BEGIN = 'fabula-begin';
const NEWEST = { fromRevision: 'end', direction: 'backwards', maxCount: 1, requiresLeader: true } as const;

/** @throws what the client says */
export async function readBounds(client: EventStoreClient, stream: string, deadlineMs: number): Promise<StreamBounds> {
  const [newest] = await collect(client.readStream(`$$${stream}`, NEWEST), deadlineMs);
  const found: unknown = newest?.event?.data;
  const data = typeof found === 'object' && found !== null ? (found as Readonly<Record<string, unknown>>) : {};
  const begin = data[BEGIN] ?? 0;
  if (!isOffset(begin)) throw new LogDamaged(`The metadata stream $$${stream} names no offset as its ${BEGIN}: ${String(begin)}.`);
  const cut = data['$tb'];
  const limits = ['$maxCount', '$maxAge'].filter((name) => data[name] !== undefined);
  if (cut !== undefined && !(isOffset(cut) && cut <= begin)) limits.push('$tb');
  return { begin, limits: limits.map((name) => `${name} = ${String(data[name])}`), data, revision: newest?.event?.revision };
}

/**
 * Forgets what comes before, if nobody else changed the bounds since they were read.
 * @param end of the stream, at least `before`
 * @returns whether it did
 * @throws what the client says
 */
export async function writeBegin(
  client: EventStoreClient,
  stream: string,
  bounds: StreamBounds,
  { before, end }: { readonly before: Offset; readonly end: Offset },
  deadlineMs: number,
): Promise<boolean> {
  const { data, revision } = bounds;
  const cut = Math.max(isOffset(data['$tb']) ? data['$tb'] : 0, Math.min(before, end - 1));
  const changed = { ...data, ...(cut > 0 ? { $tb: cut } : {}), [BEGIN]: before };
  const event = { id: randomUUID(), type: TYPE, contentType: 'application/json', data: changed, metadata: undefined } as const;
  try {
    await client.appendToStream(`$$${stream}`, event, {
      expectedRevision: revision ?? 'no_stream',
      requiresLeader: true,
      deadline: deadlineMs,
    });
    return true;
  } catch (error) {
    if (actualEnd(error) !== undefined) return false;
    throw error;
  }
}

const isOffset = (value: unknown): value is Offset => Number.isSafeInteger(value) && Number(value) >= 0;
