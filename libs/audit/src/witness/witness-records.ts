import { createHash } from 'node:crypto';
import type { LogId } from '#lib/log';
import type { LogName } from '../log-name.js';

/** What others said of a tree's signed notes. Primary data: nobody can be asked again about the past. */
export interface Cosignature {
  readonly logId: LogId;
  readonly log: LogName;
  readonly size: bigint;
  /** The witness's vkey. */
  readonly witness: string;
  /** `— <name> <base64>\n`, as it stands below the note. */
  readonly line: string;
  /** When the witness says that it cosigned, ms. */
  readonly cosignedAt: number;
}

/**
 * `FORK`: both notes bear the log's signature, and neither tree continues the other. `SET_BACK`: the witness has cosigned a larger tree than
 * the store knows.
 */
export type ForkKind = 'FORK' | 'SET_BACK';

/** Two signed notes that cannot both be true, and the proof that fails between them. */
export interface ForkReport {
  readonly logId: LogId;
  readonly log: LogName;
  readonly kind: ForkKind;
  /** vkey of the witness that has `theirs`. */
  readonly witness: string;
  readonly foundAt: number;
  readonly ours: string;
  readonly theirs: string;
  readonly oldSize: bigint;
  /** Base64; from `oldSize` to the size of `ours`. */
  readonly proof: readonly string[];
}

/** One note of theirs gives one report, however often it is met. */
export function forkDigest({ theirs }: Pick<ForkReport, 'theirs'>): Buffer {
  // Cosignatures are made anew each time; the text is what contradicts.
  return createHash('sha256')
    .update(theirs.slice(0, theirs.lastIndexOf('\n\n')))
    .digest();
}

/** A newer cosignature vouches for every tree before it, so no more are kept per witness; forks are few, and the first ones matter. */
export const MAX_COSIGNATURES = 1_000;
export const MAX_FORKS = 1_000;

export interface WitnessRecords {
  /** In place of an earlier one of the same witness and size. */
  keepCosignature(cosignature: Cosignature): Promise<void>;
  /** Of the note of that size. */
  cosignatures(logId: LogId, log: LogName, size: bigint): Promise<readonly Cosignature[]>;
  /** Each witness's newest. */
  newestCosignatures(logId: LogId, log: LogName): Promise<readonly Cosignature[]>;
  /** Answers whether it is a new one. */
  keepFork(report: ForkReport): Promise<boolean>;
  /** Newest first. */
  forks(logId: LogId, limit: number): Promise<readonly ForkReport[]>;
}

/** For tests. */
export class MemoryWitnessRecords implements WitnessRecords {
  private readonly kept: Cosignature[] = [];
  private readonly reports: ForkReport[] = [];

  keepCosignature(one: Cosignature): Promise<void> {
    const at = this.kept.findIndex(
      ({ logId, log, witness, size }) => same(one, { logId, log }) && witness === one.witness && size === one.size,
    );
    this.kept.splice(at < 0 ? this.kept.length : at, at < 0 ? 0 : 1, one);
    return Promise.resolve();
  }
  cosignatures(logId: LogId, log: LogName, size: bigint): Promise<readonly Cosignature[]> {
    return Promise.resolve(this.kept.filter((one) => same(one, { logId, log }) && one.size === size));
  }
  newestCosignatures(logId: LogId, log: LogName): Promise<readonly Cosignature[]> {
    const newest = new Map<string, Cosignature>();
    for (const one of this.kept)
      if (same(one, { logId, log }) && (newest.get(one.witness)?.size ?? -1n) <= one.size) newest.set(one.witness, one);
    return Promise.resolve([...newest.values()]);
  }
  keepFork(report: ForkReport): Promise<boolean> {
    const known = this.reports.some(
      (one) => one.witness === report.witness && one.kind === report.kind && forkDigest(one).equals(forkDigest(report)),
    );
    if (!known) this.reports.unshift(report);
    return Promise.resolve(!known);
  }
  forks(logId: LogId, limit: number): Promise<readonly ForkReport[]> {
    return Promise.resolve(this.reports.filter((one) => one.logId === logId).slice(0, limit));
  }
}

const same = (one: Pick<Cosignature, 'logId' | 'log'>, other: Pick<Cosignature, 'logId' | 'log'>): boolean =>
  one.logId === other.logId && one.log === other.log;
