import type { ExportState } from '#lib/audit';

/** Answers of the audit API as they travel: sizes and indexes as decimal text, hashes as base64, times as ISO 8601. */
export interface AuditLogs {
  readonly logId: string;
  readonly verifierKey: string;
  /** The trust policy, once a key was replaced. */
  readonly trust?: string;
  readonly logs: readonly {
    readonly log: string;
    readonly origin: string;
    readonly size: string;
    readonly signedSize: string;
    readonly signedAt: string | null;
  }[];
}
export interface InclusionAnswer {
  readonly log: string;
  readonly index: string;
  readonly size: string;
  readonly leaf: string;
  readonly hashes: readonly string[];
}
/** Work on the whole store: `progress` by tree. */
export interface StoreWorkAnswer<Report> {
  readonly state: 'none' | 'running' | 'done' | 'failed';
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly progress: readonly { readonly log: string; readonly done: number; readonly total: number }[];
  readonly report: Report | null;
  readonly error: string | null;
}
export interface ExportAnswer {
  readonly id: string;
  readonly state: ExportState;
  readonly leavesWritten: number;
  readonly leavesTotal: number;
  readonly file: { readonly name: string; readonly bytes: number; readonly sha256: string } | null;
  readonly error: string | null;
}
