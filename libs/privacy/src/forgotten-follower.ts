import { Client, type Pool } from 'pg';
import { errorText, pause, type Timers } from '#lib/platform';
import { FORGOTTEN_CHANNEL } from './postgres-pseudonyms.js';

/** The net under notifications: so long at most does a process remember somebody who was forgotten elsewhere, while it reaches the database. */
const LOOK_AGAIN_MS = 5_000;
const PAGE = 1_000;

export interface ForgottenFollowerOptions {
  readonly pool: Pool;
  /** Where the keys are; one connection of its own listens there. */
  readonly url: string;
  readonly timers: Timers;
  readonly onForgotten: (pseudonym: string) => void;
  readonly onProblem: (message: string) => void;
  readonly lookAgainMs?: number;
}

/** Tells this process's caches who was forgotten by another one: at once by notification, and by looking when one was missed. */
export class ForgottenFollower {
  private readonly stopped = new AbortController();
  private woken = new AbortController();
  private listener: Client | undefined;
  private done: Promise<void> | undefined;

  private constructor(
    private readonly options: ForgottenFollowerOptions,
    private upTo: number,
  ) {}

  /** From now on: caches are empty yet, who was forgotten earlier is in none. */
  static async open(options: ForgottenFollowerOptions): Promise<ForgottenFollower> {
    const { rows } = await options.pool.query<{ last: number }>('select coalesce(max(seq), 0)::int as last from fabula_keys.forgotten');
    const follower = new ForgottenFollower(options, rows[0]?.last ?? 0);
    follower.done = follower.run();
    return follower;
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    this.wake();
    await this.done;
    const listener = this.listener;
    this.listener = undefined;
    await listener?.end().catch((error: unknown) => this.options.onProblem(errorText(error)));
  }

  private wake(): void {
    this.woken.abort();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopped;
    while (!signal.aborted) {
      // Before looking, so that a notification during the look is not lost.
      this.woken = new AbortController();
      // Each by itself: who cannot listen still looks.
      await this.trying('listened for', () => this.listen());
      await this.trying('asked for', () => this.look());
      if (!signal.aborted) await pause(this.options.timers, this.options.lookAgainMs ?? LOOK_AGAIN_MS, this.woken.signal);
    }
  }

  private async trying(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.options.onProblem(`who was forgotten elsewhere cannot be ${what}: ${errorText(error)}`);
    }
  }

  private async look(): Promise<void> {
    for (;;) {
      const { rows } = await this.options.pool.query<{ seq: number; subject: string }>(
        `select seq::int as seq, subject from fabula_keys.forgotten where seq > $1 order by seq limit ${PAGE}`,
        [this.upTo],
      );
      for (const { subject, seq } of rows) {
        this.options.onForgotten(subject);
        this.upTo = seq;
      }
      if (rows.length < PAGE) return;
    }
  }

  private async listen(): Promise<void> {
    if (this.listener !== undefined) return;
    const client = new Client({
      connectionString: this.options.url,
      application_name: 'fabula-forgotten',
      keepAlive: true,
      connectionTimeoutMillis: LOOK_AGAIN_MS,
    });
    const lost = (): void => {
      if (this.listener === client) this.listener = undefined;
    };
    client.on('error', lost);
    client.on('end', lost);
    client.on('notification', () => this.wake());
    try {
      await client.connect();
      await client.query(`listen ${FORGOTTEN_CHANNEL}`);
      this.listener = client;
    } catch (error) {
      await client.end().catch(() => undefined /* it never opened; the first error says why */);
      throw error;
    }
  }
}
