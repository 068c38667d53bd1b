import type { Pool, PoolClient } from 'pg';
import { decodeRecord } from '#lib/decision';
import type { LogId, Offset } from '#lib/log';
import { printable, type DeadLetterKind } from './dead-letter.js';
import { settleDeadLetters } from './dead-letter-statements.js';
import { schemaOf } from './generation-ddl.js';
import { isUndefinedTable, transaction, type LiveGeneration } from './generations.js';
import { decodeCursor, pageLimit, pageOf, type Page } from './page.js';
import type { ProjectionStore } from './projection-store.js';

/** `retried`: applied after all. `released`: an operator answers for going on without it. */
export type DeadLetterStatus = 'open' | 'retried' | 'released';

/** Times in ms since the epoch. */
export interface DeadLetterView {
  readonly partition: number;
  readonly offset: Offset;
  readonly kind: DeadLetterKind;
  readonly status: DeadLetterStatus;
  readonly stream: string | null;
  readonly reason: string;
  readonly key: string;
  /** Of the whole record. */
  readonly size: number;
  readonly digest: string;
  /** When the log took it. */
  readonly time: number;
  readonly firstSeen: number;
  readonly attempts: number;
  readonly lastError: string | null;
  readonly release: { readonly reason: string; readonly by: string; readonly at: number } | null;
}

export interface DeadLetterDetail extends DeadLetterView {
  /** The beginning, where the record is larger than any of Fabula's own: see `size`. */
  readonly bytes: Buffer;
  readonly headers: string | null;
}

export interface DeadLetterFilter {
  readonly status?: DeadLetterStatus | undefined;
  readonly kind?: DeadLetterKind | undefined;
  readonly partition?: number | undefined;
}

export type DeadLetterRetry =
  | { readonly kind: 'applied'; readonly records: number }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'not-found' };

export type DeadLetterRelease =
  | { readonly kind: 'released'; readonly letter: DeadLetterView }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'not-found' };

export interface DeadLetterCount {
  readonly kind: DeadLetterKind;
  readonly status: DeadLetterStatus;
  readonly count: number;
}

export interface DeadLettersOptions {
  readonly pool: Pool;
  readonly logId: LogId;
  readonly live: LiveGeneration;
  readonly projection: Pick<ProjectionStore, 'retryParked'>;
}

/** What operators see of records that could not be used, and decide about them. */
export class DeadLetters {
  constructor(private readonly options: DeadLettersOptions) {}

  /** In the order in which the log took them. @throws BadCursor */
  async list(
    filter: DeadLetterFilter,
    page: { readonly first: number; readonly after?: string | null | undefined },
  ): Promise<Page<DeadLetterView>> {
    const [time, partition, offset] = decodeCursor(page.after, ['number', 'number', 'number']) ?? [-1, -1, -1];
    const { status = null, kind = null, partition: only = null } = filter;
    const { rows } = await this.options.pool.query<LetterRecord>(
      `select ${COLUMNS} from ${LETTERS}
       where d.log_id = $1 and (d.time, d.partition, d."offset") > ($2::bigint, $3::integer, $4::bigint)
         and ($5::text is null or d.kind = $5) and ($6::integer is null or d.partition = $6) and ($7::text is null or ${STATUS} = $7)
       order by d.time, d.partition, d."offset" limit $8`,
      [this.options.logId, time, partition, offset, kind, only, status, pageLimit(page.first)],
    );
    return pageOf(rows.map(viewOf), page.first, (row) => [row.time, row.partition, row.offset]);
  }

  async find(partition: number, offset: Offset): Promise<DeadLetterDetail | undefined> {
    const { rows } = await this.options.pool.query<LetterRecord & { bytes: Buffer; headers: string | null }>(
      `select ${COLUMNS}, d.bytes, d.headers from ${LETTERS} where d.log_id = $1 and d.partition = $2 and d."offset" = $3`,
      [this.options.logId, partition, offset],
    );
    const [row] = rows;
    return row && { ...viewOf(row), bytes: row.bytes, headers: row.headers };
  }

  /** All of this log by kind and status; kinds and statuses without any are left out. */
  async counts(): Promise<readonly DeadLetterCount[]> {
    const { rows } = await this.options.pool.query<{ kind: DeadLetterKind; status: DeadLetterStatus; count: string }>(
      `select d.kind, ${STATUS} as status, count(*) from ${LETTERS} where d.log_id = $1 group by 1, 2`,
      [this.options.logId],
    );
    return rows.map(({ kind, status, count }) => ({ kind, status, count: Number(count) }));
  }

  /** Tries once more to use a record; what cannot change is refused with the reason. */
  async retry(partition: number, offset: Offset): Promise<DeadLetterRetry> {
    const letter = await this.find(partition, offset);
    if (letter === undefined) return { kind: 'not-found' };
    if (letter.status === 'retried') return { kind: 'refused', reason: 'it was applied already' };
    const { kind, stream } = letter;
    if (kind === 'unknown-envelope' && letter.status === 'released')
      return { kind: 'refused', reason: 'it was released: every reader takes it for invalid, for ever' };
    if (kind === 'invalid') return this.refused(letter, 'what is invalid stays invalid for every reader; release it to acknowledge it');
    if (kind === 'unknown-envelope') {
      const known = decodeRecord(letter.bytes).kind !== 'unknown-envelope';
      await this.settle();
      const now = await this.find(partition, offset);
      if (now?.status === 'retried') return { kind: 'applied', records: 1 };
      return this.refused(letter, known ? 'the projector has not come to it yet' : `still unknown to this build: ${letter.reason}`);
    }
    const outcome = await this.options.projection.retryParked(stream ?? '');
    if (outcome.kind === 'still-parked') return { kind: 'refused', reason: `still parked: ${outcome.reason}` };
    await this.settle();
    if (outcome.kind === 'applied') return outcome;
    const now = await this.find(partition, offset);
    return now?.status === 'retried'
      ? { kind: 'applied', records: 0 }
      : this.refused(letter, 'its stream is not parked in the live read models');
  }

  /**
   * An operator answers for it. `invalid`: acknowledged. Unknown envelope: from now on invalid for every reader, and its partition goes on.
   * Of a parked stream: acknowledged, the stream stays parked: taking the record out of an accepted chain would be another history.
   */
  async release(partition: number, offset: Offset, by: string, reason: string): Promise<DeadLetterRelease> {
    const { pool, logId, live } = this.options;
    const schema = schemaOf(await live.refresh());
    const refusal = await transaction(pool, async (client): Promise<string | undefined> => {
      const { rows } = await client.query<{ kind: DeadLetterKind; status: string; digest: string }>(
        `select kind, status, digest from fabula.dead_letters where log_id = $1 and partition = $2 and "offset" = $3 for update`,
        [logId, partition, offset],
      );
      const [letter] = rows;
      if (letter === undefined) return 'not found';
      if (letter.status === 'retried') return 'it was applied already';
      if (letter.kind === 'unknown-envelope') {
        if (await passed(client, schema, partition, offset)) return 'a reader that knows its version has gone past it; it needs no release';
        if (await audited(client, logId, partition, offset))
          return 'an auditor that knows its version has a leaf for it: released, it would get another verdict than that leaf tells. Start the version that wrote it everywhere';
      }
      const { rowCount } = await client.query(
        `insert into fabula.releases (log_id, partition, "offset", digest, kind, reason, released_by)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
        [logId, partition, offset, letter.digest, letter.kind, reason, by],
      );
      return rowCount === 1 ? undefined : 'it was released already';
    });
    const letter = await this.find(partition, offset);
    if (letter === undefined) return { kind: 'not-found' };
    if (refusal !== undefined) return { kind: 'refused', reason: refusal };
    const { bytes: _bytes, headers: _headers, ...view } = letter;
    return { kind: 'released', letter: view };
  }

  /** Brings every status in step with the live read models; cheap, to be called now and then. */
  async settle(): Promise<void> {
    const n = await this.options.live.refresh();
    try {
      await transaction(this.options.pool, (client) => settleDeadLetters(client, schemaOf(n)));
    } catch (error) {
      // The generation was dropped just now; the next call finds the one that replaced it.
      if (!isUndefinedTable(error)) throw error;
    }
  }

  private async refused({ partition, offset }: DeadLetterView, reason: string): Promise<DeadLetterRetry> {
    await this.options.pool.query(
      `update fabula.dead_letters set attempts = attempts + 1, last_error = $4, changed_at = now()
       where log_id = $1 and partition = $2 and "offset" = $3`,
      [this.options.logId, partition, offset, printable(reason)],
    );
    return { kind: 'refused', reason };
  }
}

/** The position is locked: the live projector cannot pass the record while it is being released. */
async function passed(client: PoolClient, schema: string, partition: number, offset: Offset): Promise<boolean> {
  const { rows } = await client.query<{ next_offset: string }>(
    `select next_offset from ${schema}.positions where partition = $1 for update`,
    [partition],
  );
  return Number(rows[0]?.next_offset ?? 0) > offset;
}

/**
 * The head is locked: an auditor that has yet to pass the record finds its release when it looks at the record. Row policies hide rows that
 * a database user may not lock, so it is read again without; and a signed note still counts for leaves that a rebuild forgot: there is one
 * per record, and the tree would never again agree with the note.
 */
async function audited(client: PoolClient, logId: LogId, partition: number, offset: Offset): Promise<boolean> {
  const head = 'select next_offset from fabula.audit_heads where log = $1 and log_id = $2';
  await client.query(`${head} for update`, [partition, logId]);
  const { rows } = await client.query<{ reached: string | null }>(
    `select greatest((${head}), (select max(size) from fabula.audit_notes where log = $1 and log_id = $2)) as reached`,
    [partition, logId],
  );
  return Number(rows[0]?.reached ?? 0) > offset;
}

const LETTERS = `fabula.dead_letters d
  left join fabula.releases r on r.log_id = d.log_id and r.partition = d.partition and r."offset" = d."offset"`;
const STATUS = `case when d.status = 'retried' then 'retried' when r.reason is not null then 'released' else 'open' end`;
const COLUMNS = `d.partition, d."offset", d.kind, ${STATUS} as status, d.stream, d.reason, d.key, d.size, d.digest, d.time, d.first_seen,
  d.attempts, d.last_error, r.reason as release_reason, r.released_by, r.released_at`;

interface LetterRecord {
  readonly partition: number;
  readonly offset: string;
  readonly kind: DeadLetterKind;
  readonly status: DeadLetterStatus;
  readonly stream: string | null;
  readonly reason: string;
  readonly key: string;
  readonly size: string;
  readonly digest: string;
  readonly time: string;
  readonly first_seen: Date;
  readonly attempts: number;
  readonly last_error: string | null;
  readonly release_reason: string | null;
  readonly released_by: string | null;
  readonly released_at: Date | null;
}

function viewOf(row: LetterRecord): DeadLetterView {
  const { partition, kind, status, stream, reason, key, digest, attempts } = row;
  const { release_reason: why, released_by: by, released_at: at } = row;
  return {
    partition,
    offset: Number(row.offset),
    kind,
    status,
    stream,
    reason,
    key,
    size: Number(row.size),
    digest,
    time: Number(row.time),
    firstSeen: row.first_seen.getTime(),
    attempts,
    lastError: row.last_error,
    release: why === null || by === null || at === null ? null : { reason: why, by, at: at.getTime() },
  };
}
