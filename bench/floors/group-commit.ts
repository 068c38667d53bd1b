import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Player } from '../measure/drive.js';
import { verify } from '../row.js';

interface Waiting {
  readonly stream: string;
  readonly version: number;
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const MOST = 1_000;

export async function createFloorTable(pool: Pool): Promise<void> {
  await pool.query(`create table floor_records (
    position bigint generated always as identity primary key, stream text not null, version integer not null, data bytea not null,
    unique (stream, version))`);
}

/**
 * The least that a durable, versioned append can cost: whatever waits goes into one INSERT … unnest, one batch in flight. It knows no story,
 * keeps no state, verifies no chain; a version that exists already fails the batch.
 */
export class GroupCommit {
  private waiting: Waiting[] = [];
  private busy = false;

  constructor(
    private readonly pool: Pool,
    /** Runs before a batch is written: what a store without state must read first. */
    private readonly before?: (streams: readonly string[]) => Promise<void>,
  ) {}

  append(stream: string, version: number, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ stream, version, bytes, resolve, reject });
      if (!this.busy) void this.run();
    });
  }

  private async run(): Promise<void> {
    this.busy = true;
    // As in the engine: what arrives in this tick goes along.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, MOST);
      try {
        await this.before?.(batch.map(({ stream }) => stream));
        await this.write(batch);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.busy = false;
  }

  private async write(batch: readonly Waiting[]): Promise<void> {
    const starts: number[] = [];
    let at = 1;
    for (const { bytes } of batch) {
      starts.push(at);
      at += bytes.length;
    }
    await this.pool.query({
      name: 'floor_append',
      text: `insert into floor_records (stream, version, data)
        select stream, version, substring($1::bytea from start for length)
        from unnest($2::text[], $3::int[], $4::int[], $5::int[]) as record (stream, version, start, length)`,
      values: [
        Buffer.concat(batch.map(({ bytes }) => bytes)),
        batch.map(({ stream }) => stream),
        batch.map(({ version }) => version),
        starts,
        batch.map(({ bytes }) => bytes.length),
      ],
    });
  }
}

/** A playthrough that is nothing but its bytes. */
export class FloorPlayer implements Player {
  readonly id = randomUUID();

  constructor(
    private readonly store: GroupCommit,
    private readonly records: readonly Uint8Array[],
  ) {}

  async next(turn: number): Promise<void> {
    await this.store.append(this.id, turn, this.records[turn % this.records.length] as Uint8Array);
  }
}

export async function verifyFloor(pool: Pool, acknowledged: number): Promise<string> {
  const { rows } = await pool.query<{ stored: string; dense: boolean }>(
    `select coalesce(sum(n), 0)::bigint as stored, coalesce(bool_and(n = last + 1), true) as dense
     from (select count(*) as n, max(version) as last from floor_records group by stream) streams`,
  );
  const [row] = rows;
  return verify(
    `the floor stored ${acknowledged} records`,
    Number(row?.stored) === acknowledged && row?.dense === true,
    JSON.stringify(row),
  );
}
