import type { LogId } from '#lib/log';
import type { AuditStore, KeptNote } from '../audit-store.js';
import type { ExportJob } from '../export-job.js';
import { MalformedDer } from './der.js';
import { problemOf, readTimestampToken } from './timestamp-token.js';
import type { KeptTimestamp } from '../timestamp/timestamper.js';

/** What others say of notes of the root tree that a bundle's own continues. */
export interface RootEvidence {
  /** The newest one with a quorum of cosignatures, where the bundle's has none yet; with them. */
  readonly cosigned?: { readonly size: bigint; readonly note: string };
  readonly timestamp?: Pick<KeptTimestamp, 'size' | 'note' | 'authority' | 'response'>;
}

/** Where it comes from. */
export interface EvidenceSources {
  /** Timestamps of the root tree's notes, the newest first. */
  readonly timestamps?: () => Promise<readonly KeptTimestamp[]>;
  /** Size of the root tree's newest note that has its quorum of cosignatures. */
  readonly witnessed?: () => Promise<bigint | undefined>;
  /** The root tree's note with the cosignatures that it has. */
  readonly cosigned?: (note: KeptNote) => Promise<string>;
}

type Chosen = NonNullable<ExportJob['beside']>;

/** The newest that a root tree of that size continues; kept with the job, so that an export that was interrupted ends with the same bytes. */
export async function chooseEvidence({ timestamps, witnessed }: EvidenceSources, rootSize: bigint): Promise<Chosen> {
  const [stamp, size] = await Promise.all([timestamps?.(), witnessed?.()]);
  const newest = stamp?.find((one) => one.size <= rootSize && isUsable(one));
  return {
    ...(newest === undefined ? {} : { stamped: { size: String(newest.size), at: newest.stampedAt } }),
    ...(size === undefined || size >= rootSize ? {} : { cosigned: String(size) }),
  };
}

/** What no verifier could read, or would refuse, makes a good bundle look bad. */
function isUsable({ note, response }: KeptTimestamp): boolean {
  try {
    return problemOf(readTimestampToken(response), Buffer.from(note)) === null;
  } catch (error) {
    if (error instanceof MalformedDer) return false;
    throw error;
  }
}

export async function evidenceOf(
  { timestamps, cosigned }: EvidenceSources,
  store: AuditStore,
  logId: LogId,
  chosen: Chosen,
): Promise<RootEvidence> {
  const stamp = (chosen.stamped === undefined ? undefined : await timestamps?.())?.find(
    ({ size, stampedAt }) => String(size) === chosen.stamped?.size && stampedAt === chosen.stamped.at,
  );
  const size = chosen.cosigned === undefined ? undefined : BigInt(chosen.cosigned);
  const [note] = size === undefined ? [] : await store.notes('root', logId, size - 1n, 1);
  return {
    ...(stamp === undefined ? {} : { timestamp: stamp }),
    ...(note === undefined || note.size !== size || cosigned === undefined ? {} : { cosigned: { size, note: await cosigned(note) } }),
  };
}
