import { Client, type ClientConfig, type Notification } from 'pg';
import type { WakeUps } from '../wake-ups.js';

const CHANNEL = 'fabula_log';
const RECONNECT_MS = 250;
const RECONNECT_MAX_MS = 5_000;

/**
 * Wakes readers in other processes, and this one's when others append: one connection per log listens and notifies.
 * Notifying beside the append instead of inside it matters: a commit that notifies holds a lock of the whole database over
 * its fsync, so appends to different partitions would queue up. A lost notification costs a reader one polling interval.
 */
export class TailNotifier {
  private client: Client | undefined;
  private readonly dirty = new Set<number>();
  private sending = false;
  private closed = false;
  private retry: NodeJS.Timeout | undefined;
  private wait = RECONNECT_MS;
  private connecting: Promise<void> | undefined;

  constructor(
    private readonly config: ClientConfig,
    private readonly wakeUps: WakeUps,
  ) {}

  /** Starts listening; a failure is retried in the background. */
  start(): Promise<void> {
    this.connecting ??= this.connect().finally(() => (this.connecting = undefined));
    return this.connecting;
  }

  /** Whether news from other processes arrive without polling. */
  get listening(): boolean {
    return this.client !== undefined;
  }

  /** Tells other processes that a partition has grown: at most one message is under way, it names all partitions since the last. */
  announce(partition: number): void {
    this.dirty.add(partition);
    void this.flush();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retry);
    await this.connecting;
    const client = this.client;
    this.client = undefined;
    await client?.end();
  }

  private async flush(): Promise<void> {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.dirty.size > 0 && this.client !== undefined) {
        const partitions = [...this.dirty].slice(0, 1000);
        for (const partition of partitions) this.dirty.delete(partition);
        await this.client.query('select pg_notify($1, $2)', [CHANNEL, partitions.join(',')]);
      }
    } catch {
      // The connection broke: its 'end' handler reconnects, and readers elsewhere find the records by polling.
    } finally {
      this.sending = false;
    }
    if (this.client === undefined) this.dirty.clear();
  }

  private async connect(): Promise<void> {
    const client = new Client({ ...this.config, application_name: 'fabula-log-tail', keepAlive: true });
    client.on('error', () => this.lost(client));
    client.on('end', () => this.lost(client));
    client.on('notification', (message) => this.received(message));
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
    } catch {
      // Postgres is down or full: polling goes on meanwhile, and we come back.
      this.reconnectLater();
      await client.end().catch(() => undefined);
      return;
    }
    if (this.closed) return void (await client.end());
    this.client = client;
    this.wait = RECONNECT_MS;
    // Whatever was announced while nobody listened.
    this.wakeUps.wakeAll();
    void this.flush();
  }

  private received(message: Notification): void {
    for (const text of (message.payload ?? '').split(',')) if (/^\d+$/.test(text)) this.wakeUps.wake(Number(text));
  }

  private lost(client: Client): void {
    if (this.client !== client) return;
    this.client = undefined;
    this.wakeUps.wakeAll();
    this.reconnectLater();
  }

  private reconnectLater(): void {
    if (this.closed) return;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.start(), this.wait);
    this.retry.unref();
    this.wait = Math.min(this.wait * 2, RECONNECT_MAX_MS);
  }
}
