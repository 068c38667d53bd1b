import { Client, type ClientConfig, type QueryResultRow } from 'pg';
import type { Timers } from '#lib/platform';
import type { Ownership, OwnershipEvents } from './ownership.js';

/** What is shared out: writing a partition, folding it into the read models, growing its audit tree, or feeding the public. Each has its own shares. */
export type PartitionWork = 'engine' | 'projector' | 'auditor' | 'publisher';

export interface PostgresOwnershipOptions {
  /** Default `engine`. Only its owners have an address: nobody sends anything to a projector. */
  readonly work?: PartitionWork;
  /** How to reach the database; ownership holds one connection of its own. */
  readonly connection: ClientConfig;
  readonly partitions: number;
  readonly timers: Timers;
  /** Time between two rounds, ms (default 250): how late a free partition is noticed. */
  readonly intervalMs?: number;
  /** A process that sends nothing for so long (stopped, cut off) loses its session, and with it its partitions; ms (default 5,000). */
  readonly leaseMs?: number;
  /** Only looks who owns what, to forward to them, and takes nothing itself: a process without the engine's role. */
  readonly observer?: boolean;
  /** Something failed and is tried again. */
  readonly onProblem?: (what: string, error: unknown) => void;
}

/** Classes of advisory locks (the first of the two keys), any fixed numbers: one lock per partition, and one that each process shares. */
export const LOCKS: Readonly<Record<PartitionWork, { readonly owner: number; readonly present: number }>> = {
  engine: { owner: 0x0fab01, present: 0x0fab02 },
  projector: { owner: 0x0fab11, present: 0x0fab12 },
  auditor: { owner: 0x0fab21, present: 0x0fab22 },
  publisher: { owner: 0x0fab31, present: 0x0fab32 },
};

/**
 * The session is the truth: a partition belongs to the session that holds its advisory lock, a process takes part while its session
 * shares the presence lock. Both end with the session, at the moment Postgres sees it end; no clock of ours decides who is alive.
 */
const ROUND = `
  select l.classid::int as class, l.objid::int as partition, l.pid = pg_backend_pid() as mine, o.address
  from pg_locks l
  left join fabula.partition_owners o on o.partition = l.objid::int and l.classid = $1::int and $1::int = ${LOCKS.engine.owner}
  where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid in ($1::int, $2::int)
    and l.database = (select oid from pg_database where datname = current_database())`;

const CLAIM = `
  insert into fabula.partition_owners (partition, address) values ($1, $2)
  on conflict (partition) do update set address = excluded.address, since = now()`;

interface Lock {
  readonly class: number;
  readonly partition: number;
  readonly mine: boolean;
  readonly address: string | null;
}

/** Partitions shared fairly between the processes on one database. */
export function createPostgresOwnership(options: PostgresOwnershipOptions): Ownership {
  return new PostgresOwnership(options);
}

class PostgresOwnership implements Ownership {
  private readonly intervalMs: number;
  private address = '';
  private events: OwnershipEvents | undefined;
  private client: Client | undefined;
  private readonly owned = new Set<number>();
  /** Partitions whose release is under way: not to be taken before it has ended. */
  private readonly releasing = new Map<number, Promise<void>>();
  private others: ReadonlyMap<number, string> = new Map();
  private cancelTimer: (() => void) | undefined;
  private round: Promise<void> = Promise.resolve();
  private stopped = false;
  /** The session takes one statement after the other; releases come in between those of the round. */
  private turn: Promise<unknown> = Promise.resolve();
  private readonly locks: { readonly owner: number; readonly present: number };
  private readonly addressed: boolean;

  constructor(private readonly options: PostgresOwnershipOptions) {
    this.intervalMs = options.intervalMs ?? 250;
    this.locks = LOCKS[options.work ?? 'engine'];
    this.addressed = this.locks === LOCKS.engine;
  }

  async start(address: string, on: OwnershipEvents): Promise<void> {
    this.address = address;
    if (this.events !== undefined) throw new Error('Ownership was started already.');
    this.events = on;
    this.round = this.runRound();
    await this.round;
  }

  ownerOf(partition: number): string | undefined {
    if (this.owned.has(partition)) return 'self';
    return this.others.get(partition);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.cancelTimer?.();
    await this.round;
    for (const partition of this.owned) this.release(partition);
    await Promise.all(this.releasing.values());
    const client = this.client;
    this.client = undefined;
    // Ending the session gives back whatever is still locked.
    await client?.end().catch((error: unknown) => this.problem('ending the ownership session', error));
  }

  /** Never rejects: what fails is reported and tried again in the next round. */
  private async runRound(): Promise<void> {
    try {
      this.client ??= await this.connect();
      await this.share(this.client);
    } catch (error) {
      this.problem('sharing partitions', error);
      // A session in doubt is given up: its locks go with it, so nobody waits for a process that cannot act.
      if (this.client !== undefined) this.lost(this.client);
    }
    if (this.stopped) return;
    this.cancelTimer = this.options.timers.after(this.intervalMs, () => {
      this.round = this.runRound();
    });
  }

  private async connect(): Promise<Client> {
    const leaseMs = this.options.leaseMs ?? 5_000;
    const client = new Client({
      ...this.options.connection,
      application_name: `fabula-ownership${this.addressed ? '' : `-${this.options.work}`}`,
      connectionTimeoutMillis: leaseMs,
      query_timeout: leaseMs,
      keepAlive: true,
    });
    // Also the listener without which a lost connection would end the process.
    client.on('error', () => this.lost(client));
    client.on('end', () => this.lost(client));
    await client.connect();
    try {
      await client.query(`set idle_session_timeout = ${Math.ceil(leaseMs)}`);
      if (this.options.observer !== true) await client.query('select pg_advisory_lock_shared($1, 0)', [this.locks.present]);
    } catch (error) {
      await client.end().catch((ending: unknown) => this.problem('ending the ownership session', ending));
      throw error;
    }
    return client;
  }

  private async share(client: Client): Promise<void> {
    const { owner, present } = this.locks;
    const rows = await this.ask<Lock>(client, ROUND, [owner, present]);
    const processes = Math.max(1, rows.filter((lock) => lock.class === present).length);
    const taken = rows.filter((lock) => lock.class === owner);
    this.others = new Map(taken.flatMap(({ mine, partition, address }) => (mine || address === null ? [] : [[partition, address]])));
    if (this.options.observer === true) return;
    const share = Math.ceil(this.options.partitions / processes);
    for (const partition of [...this.owned].slice(share)) this.release(partition);
    const locked = new Set(taken.map((lock) => lock.partition));
    for (let partition = 0; partition < this.options.partitions && this.owned.size < share; partition++) {
      if (locked.has(partition) || this.releasing.has(partition) || this.stopped) continue;
      await this.tryTake(client, partition);
    }
  }

  private async tryTake(client: Client, partition: number): Promise<void> {
    const [lock] = await this.ask<{ taken: boolean }>(client, 'select pg_try_advisory_lock($1, $2) as taken', [
      this.locks.owner,
      partition,
    ]);
    if (lock?.taken !== true) return;
    if (this.addressed) await this.ask(client, CLAIM, [partition, this.address]);
    // The session may have ended while we claimed: then the lock is gone too.
    if (this.client !== client) return;
    this.owned.add(partition);
    this.events?.acquired(partition);
  }

  /** Gives a partition back once the engine has let go of it. */
  private release(partition: number): void {
    this.owned.delete(partition);
    const client = this.client;
    const letGo = async () => {
      try {
        await this.events?.released(partition);
        if (client === undefined || this.client !== client) return;
        if (this.addressed)
          await this.ask(client, 'delete from fabula.partition_owners where partition = $1 and address = $2', [partition, this.address]);
        await this.ask(client, 'select pg_advisory_unlock($1, $2)', [this.locks.owner, partition]);
      } catch (error) {
        this.problem(`giving partition ${partition} back`, error);
        // Whether the lock is still held is not known: ending the session makes it certain.
        if (client !== undefined) this.lost(client);
      } finally {
        this.releasing.delete(partition);
      }
    };
    this.releasing.set(partition, letGo());
  }

  /** The session is gone or in doubt: everything it held is somebody else's from now on. */
  private lost(client: Client): void {
    if (this.client !== client) return;
    this.client = undefined;
    this.others = new Map();
    for (const partition of this.owned) this.release(partition);
    client.end().catch((error: unknown) => this.problem('ending a lost ownership session', error));
  }

  private ask<R extends QueryResultRow>(client: Client, statement: string, values: unknown[] = []): Promise<R[]> {
    const answer = this.turn.then(async () => (await client.query<R>(statement, values)).rows);
    // The next one starts however this one ends; who asked hears of a failure.
    this.turn = answer.catch(() => undefined);
    return answer;
  }

  private problem(what: string, error: unknown): void {
    this.options.onProblem?.(what, error);
  }
}
