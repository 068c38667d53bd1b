import type { LogId } from '#lib/log';
import { errorText, pause, type Clock, type Ids, type Timers } from '#lib/platform';
import type { AuditStore } from '../audit-store.js';
import type { LogName } from '../log-name.js';
import { MAX_TIMESTAMP_BYTES, NONCE_BYTES, readTimestamp, TIMESTAMP_QUERY, timestampRequest, TimestampRefused } from './timestamp.js';

/** An authority's word that a signed note was there at a time. Primary data. */
export interface KeptTimestamp {
  readonly logId: LogId;
  readonly log: LogName;
  readonly size: bigint;
  /** The exact bytes that the token is about. */
  readonly note: string;
  /** Where it was asked for. */
  readonly authority: string;
  /** When the authority says, ms. */
  readonly stampedAt: number;
  /** DER of the whole answer: a `.tsr` file. */
  readonly response: Buffer;
}

export interface TimestampRecords {
  keepTimestamp(timestamp: KeptTimestamp): Promise<void>;
  /** Newest first. */
  timestamps(logId: LogId, log: LogName, limit: number): Promise<readonly KeptTimestamp[]>;
}

export interface TimestamperOptions {
  readonly store: AuditStore;
  readonly records: TimestampRecords;
  readonly logId: LogId;
  readonly url: string;
  readonly fetch: typeof globalThis.fetch;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly ids: Ids;
  readonly intervalMs: number;
  /** Told once when no token could be had for two intervals. */
  readonly onOverdue: (message: string) => void;
}

const LOG = 'root';
const WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 60_000;

/** Has the root tree's newest note stamped once per interval (RFC 3161): the time is then not only this server's word. */
export class Timestamper {
  private readonly since: number;
  private newestAt: number | undefined;
  private overdue = false;
  /** Why the last try failed; null after one that did not. */
  problem: string | null = null;

  constructor(private readonly options: TimestamperOptions) {
    this.since = options.clock.now();
  }

  /** When the newest token was had, as far as this process knows, ms. */
  get stampedAt(): number | null {
    return this.newestAt ?? null;
  }

  /** Until the signal aborts; never rejects. A failed try is repeated soon. */
  async run(signal: AbortSignal): Promise<void> {
    const { timers, intervalMs } = this.options;
    while (!signal.aborted) {
      await this.round(signal);
      await pause(timers, Math.min(intervalMs, LOOK_EVERY_MS), signal);
    }
  }

  async round(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs, url } = this.options;
    try {
      await this.stamp(signal);
      this.problem = null;
    } catch (error) {
      if (signal.aborted) return;
      this.problem = errorText(error);
    }
    const overdue = this.problem !== null && clock.now() - (this.newestAt ?? this.since) > 2 * intervalMs;
    if (overdue && !this.overdue) this.options.onOverdue(`no timestamp could be had from ${url}: ${this.problem ?? ''}`);
    this.overdue = overdue;
  }

  private async stamp(signal: AbortSignal): Promise<void> {
    const { store, records, logId, clock, ids, intervalMs, url } = this.options;
    const [newest] = await records.timestamps(logId, LOG, 1);
    this.newestAt = newest?.stampedAt;
    if (newest !== undefined && clock.now() - newest.stampedAt < intervalMs) return;
    const note = await store.latestNote(LOG, logId);
    if (note === undefined) return;
    const bytes = Buffer.from(note.note);
    const nonce = Buffer.from(ids.hex(NONCE_BYTES), 'hex');
    const response = await this.ask(timestampRequest(bytes, nonce), signal);
    const stampedAt = readTimestamp(response, bytes, nonce);
    await records.keepTimestamp({ logId, log: LOG, size: note.size, note: note.note, authority: url, stampedAt, response });
    this.newestAt = stampedAt;
  }

  private async ask(request: Buffer, signal: AbortSignal): Promise<Buffer> {
    const { url, fetch } = this.options;
    const response = await fetch(url, {
      method: 'POST',
      body: new Uint8Array(request),
      headers: { 'content-type': TIMESTAMP_QUERY },
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)]),
    });
    if (response.status !== 200) throw new TimestampRefused(`the authority answered ${response.status}`);
    const parts: Uint8Array[] = [];
    let length = 0;
    if (response.body !== null)
      for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
        length += part.length;
        if (length > MAX_TIMESTAMP_BYTES) throw new TimestampRefused(`the authority answered with more than ${MAX_TIMESTAMP_BYTES} bytes`);
        parts.push(part);
      }
    return Buffer.concat(parts);
  }
}
