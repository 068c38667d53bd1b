import type { ExportFilter } from './bundle/bundle-format.js';
import type { LogName } from './log-name.js';

/** Leaves from ≤ index < to; `to` absent: up to the newest signed note. */
export interface ExportRange {
  readonly log: LogName;
  readonly from: bigint;
  readonly to?: bigint;
  /** Size of a note that the receiver kept: the export then proves that it continues it. */
  readonly since?: bigint;
}

export type ExportState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

/** Which process writes an export and keeps its file: others cannot. */
export interface ExportKeeper {
  /** Stays the same over restarts, as the exports directory does. */
  readonly id: string;
  /** Where that process was reached when the export was requested. */
  readonly address: string;
}

/** One requested export and how far it is. */
export interface ExportJob {
  readonly id: string;
  /** Pseudonym of who asked. */
  readonly requestedBy: string;
  readonly requestedAt: number;
  readonly keptBy: ExportKeeper;
  readonly ranges: readonly ExportRange[];
  /** Absent: all leaves of the ranges. */
  readonly filter?: ExportFilter;
  /** Whether the records that the shown leaves are about go along. */
  readonly bodies?: true;
  /** Absent: ordered before exports said so. */
  readonly asked?: 'everything' | 'part';
  /** Size of the root tree's note, as text, that this export is to continue. */
  readonly rootSince?: string;
  /** Sizes, as text, of the notes that the finished bundle holds, so that a later export can continue it. */
  readonly signed?: readonly { readonly log: LogName; readonly size: string }[];
  /** Which timestamp and which cosigned note of the root tree go along, as they were chosen when it was begun. */
  readonly beside?: { readonly cosigned?: string; readonly stamped?: { readonly size: string; readonly at: number } };
  readonly state: ExportState;
  readonly leavesWritten: number;
  readonly leavesTotal: number;
  readonly finishedAt: number | null;
  /**
   * Name of the file in the exports directory, its size and the SHA-256 of its bytes, once done; of its manifest too, which names the bundle
   * also when it was unpacked. Exports of earlier releases have no `manifestSha256`.
   */
  readonly file: { readonly name: string; readonly bytes: number; readonly sha256: string; readonly manifestSha256?: string } | null;
  readonly error: string | null;
  /** When its file went, ms; absent: it is there, or never was. */
  readonly removedAt?: number;
}

/** What an export is asked for beside its ranges. */
export interface ExportWish {
  readonly filter?: ExportFilter;
  readonly bodies?: true;
  /** Id of an earlier, finished export: this one proves that its notes are continued. */
  readonly since?: string;
}
