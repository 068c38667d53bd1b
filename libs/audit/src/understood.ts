import { admissible, decodeRecord, type Decoded } from '#lib/decision';
import { mayBeReleased, type Releases, type StoredRecord } from '#lib/log';

/** A record as its leaf tells of it. `released`: by an operator, who knew nothing of it but its bytes; it is invalid. */
export type Understood = Exclude<Decoded, { kind: 'unknown-envelope' }> | { readonly kind: 'released'; readonly digest: string };

export interface UnderstoodRecord {
  readonly record: StoredRecord;
  /** Undefined: written by a newer Fabula and not released. Nothing follows it. */
  readonly decoded: Understood | undefined;
}

/** Records up to the first one that cannot be understood. @throws whatever `Releases` throws, which is asked only about unknown envelopes */
export async function understood(
  records: readonly StoredRecord[],
  partition: number,
  releases: Releases,
): Promise<readonly UnderstoodRecord[]> {
  const entries: UnderstoodRecord[] = [];
  for (const record of records) {
    const decoded = decodeRecord(record.value);
    if (!mayBeReleased(decoded)) entries.push({ record, decoded });
    else if (await releases.has(partition, record.offset, decoded.digest))
      entries.push({ record, decoded: { kind: 'released', digest: decoded.digest } });
    else if (decoded.kind === 'record') entries.push({ record, decoded });
    else {
      entries.push({ record, decoded: undefined });
      break;
    }
  }
  return entries;
}

export function admits(
  decoded: Understood | undefined,
  partition: number,
  partitions: number,
): decoded is Extract<Understood, { kind: 'record' }> {
  return decoded !== undefined && decoded.kind !== 'released' && admissible(decoded, partition, partitions);
}
