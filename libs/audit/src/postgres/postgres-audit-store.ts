import type { Pool, QueryConfig } from 'pg';
import type { LogId } from '#lib/log';
import { withTransaction } from '#lib/platform';
import { heldInRoot } from '../audit-store.js';
import type { AuditHead, AuditStore, AuditTransaction, BytesPage, DerivedLog, KeptNote, LeafPage } from '../audit-store.js';
import type { ExportJob } from '../export-job.js';
import type { KeptKey } from '../keys/kept-keys.js';
import type { LogName } from '../log-name.js';
import type { SearchPage, SearchQuery } from '../search.js';
import type { PrunedClass, TreeBase } from '../retention/tree-base.js';
import type { TermBlock } from '../terms/index.js';
import type { TileAddress } from '../tlog/index.js';
import { exportOf, headOf, jobRow, leafOf, noteOf, numberOf, type HeadRow, type LeafRow, type NoteRow } from './rows.js';
import { leafBytesAt, leafBytesOf } from './leaf-bytes.js';
import { readTiles, runTransaction } from './postgres-transaction.js';
import { readSigningKeys } from './signing-key-rows.js';
import { searchLeaves, timeSpan } from './search-leaves.js';
import { backToBase, readBase, readBases, readPruned } from './base-rows.js';
import { lastTermBlock, readTermBlocks } from './term-block-rows.js';

const PAGE = 500;
/** A tree of millions of leaves takes longer to delete than any statement of a request may; a silent server still ends the wait. */
const FORGET_WITHIN_MS = 3_600_000;
const unhurried = (table: string, log: number): QueryConfig & { readonly query_timeout: number } => ({
  text: `delete from fabula.${table} where log = $1`,
  values: [log],
  query_timeout: FORGET_WITHIN_MS,
});
const HEAD = 'log, log_id, next_offset, size, frontier, previous_leaf';
const NOTE = 'log, log_id, size, root, note, signed_at, published_at, root_index, terms, terms_index';

/** The audit store of a migrated database. The pool is the caller's to close. */
export class PostgresAuditStore implements AuditStore {
  constructor(private readonly pool: Pool) {}

  async open(log: LogName, logId: LogId): Promise<AuditHead> {
    // The notary asks for every tree every few seconds: nearly always it is there.
    const known = await this.head(log);
    if (known !== undefined) return known;
    await this.pool.query(
      `insert into fabula.audit_heads (log, log_id, next_offset, size, frontier, previous_leaf)
       select $1::smallint, $2::text, coalesce(next_offset, 0), coalesce(size, 0), coalesce(frontier, ''), previous_leaf
       from (select) one left join fabula.audit_bases base on base.log = $1::smallint and base.log_id = $2::text
       on conflict (log) do nothing`,
      [numberOf(log), logId],
    );
    return (await this.head(log)) as AuditHead;
  }

  private async head(log: LogName): Promise<AuditHead | undefined> {
    const { rows } = await this.pool.query<HeadRow>({
      name: 'audit-head',
      text: `select ${HEAD} from fabula.audit_heads where log = $1`,
      values: [numberOf(log)],
    });
    return rows[0] === undefined ? undefined : headOf(rows[0]);
  }

  async heads(): Promise<readonly AuditHead[]> {
    const { rows } = await this.pool.query<HeadRow>(`select ${HEAD} from fabula.audit_heads order by log`);
    return rows.map(headOf);
  }

  transact<T>(log: LogName, work: (transaction: AuditTransaction) => Promise<T>): Promise<T> {
    return runTransaction(this.pool, log, work);
  }

  async *leaves(log: LogName, from: bigint, to: bigint): AsyncIterable<LeafPage> {
    for (let at = from; at < to;) {
      const { rows } = await this.pool.query<LeafRow>(
        `select leaf_index, log_offset, time, leaf, stream, correlation_id, actor, accepted from fabula.audit_leaves
         where log = $1 and leaf_index >= $2 and leaf_index < $3 order by leaf_index limit ${PAGE}`,
        [numberOf(log), at, to],
      );
      const leaves = rows.map(leafOf);
      const [first, last] = [leaves[0], leaves.at(-1)];
      if (first === undefined || last === undefined) return;
      yield { from: first.index, leaves };
      at = last.index + 1n;
    }
  }

  leafBytes(log: LogName, from: bigint, to: bigint): AsyncIterable<BytesPage> {
    return leafBytesOf(this.pool, numberOf(log), from, to);
  }

  leafBytesAt(log: LogName, indexes: readonly bigint[]): Promise<ReadonlyMap<bigint, Buffer>> {
    return leafBytesAt(this.pool, numberOf(log), indexes);
  }

  tiles(log: LogName, addresses: readonly TileAddress[]): Promise<readonly (Buffer | undefined)[]> {
    return readTiles(this.pool, numberOf(log), addresses);
  }

  termBlocks(log: LogName, blocks: readonly bigint[]): Promise<readonly (TermBlock | undefined)[]> {
    return readTermBlocks(this.pool, numberOf(log), blocks);
  }
  lastTermBlock(log: LogName, below: bigint): Promise<TermBlock | undefined> {
    return lastTermBlock(this.pool, numberOf(log), below);
  }
  timeSpan(log: LogName, from: number, to: number): Promise<{ readonly from: bigint; readonly to: bigint } | undefined> {
    return timeSpan(this.pool, numberOf(log), from, to);
  }

  async latestNote(log: LogName, logId: LogId): Promise<KeptNote | undefined> {
    const { rows } = await this.pool.query<NoteRow>({
      name: 'audit-note',
      text: `select ${NOTE} from fabula.audit_notes where log_id = $1 and log = $2 order by size desc limit 1`,
      values: [logId, numberOf(log)],
    });
    return rows[0] === undefined ? undefined : noteOf(rows[0]);
  }

  async latestNotes(logId: LogId): Promise<readonly KeptNote[]> {
    // By jumps through the key: notes become many.
    const { rows } = await this.pool.query<NoteRow>({
      name: 'audit-latest-notes',
      text: `with recursive tree as (
               (select log from fabula.audit_notes where log_id = $1 order by log limit 1)
               union all
               select (select log from fabula.audit_notes where log_id = $1 and log > tree.log order by log limit 1) from tree where log is not null
             )
             select newest.* from tree cross join lateral (
               select ${NOTE} from fabula.audit_notes where log_id = $1 and log = tree.log order by size desc limit 1
             ) newest`,
      values: [logId],
    });
    return rows.map(noteOf);
  }

  async notes(log: LogName, logId: LogId, above: bigint, limit: number): Promise<readonly KeptNote[]> {
    const { rows } = await this.pool.query<NoteRow>(
      `select ${NOTE} from fabula.audit_notes where log_id = $1 and log = $2 and size > $3 order by size limit $4`,
      [logId, numberOf(log), above, limit],
    );
    return rows.map(noteOf);
  }

  async notesInRoot(logId: LogId, from: bigint, limit: number): Promise<readonly KeptNote[]> {
    const { rows } = await this.pool.query<NoteRow>(
      `(select ${NOTE} from fabula.audit_notes where log_id = $1 and root_index >= $2 order by root_index limit $3)
       union all
       (select ${NOTE} from fabula.audit_notes where log_id = $1 and terms_index >= $2 and root_index < $2 order by terms_index limit $3)`,
      [logId, from, limit],
    );
    const held = rows.map(noteOf).flatMap(heldInRoot);
    const place = ({ rootIndex }: KeptNote): bigint => rootIndex ?? -1n;
    return held
      .filter((note) => place(note) >= from)
      .sort((one, other) => (place(one) < place(other) ? -1 : 1))
      .slice(0, limit);
  }

  signingKeys(logId: LogId): Promise<readonly KeptKey[]> {
    return readSigningKeys(this.pool, logId);
  }

  async republish(log: LogName, logId: LogId, size: bigint, at: number): Promise<void> {
    await this.pool.query('update fabula.audit_notes set published_at = $4 where log_id = $1 and log = $2 and size = $3', [
      logId,
      numberOf(log),
      size,
      at,
    ]);
  }

  search(query: SearchQuery): Promise<SearchPage> {
    return searchLeaves(this.pool, query);
  }

  async adopt(log: 'access', logId: LogId): Promise<void> {
    await this.pool.query('update fabula.audit_heads set log_id = $2 where log = $1 and log_id <> $2', [numberOf(log), logId]);
  }

  bases(logId: LogId): Promise<readonly TreeBase[]> {
    return readBases(this.pool, logId);
  }
  pruned(logId: LogId): Promise<readonly PrunedClass[]> {
    return readPruned(this.pool, logId);
  }

  async forget(log: DerivedLog, logId?: LogId): Promise<void> {
    // One transaction. The head goes first: an auditor waits for it, then finds none.
    await withTransaction(this.pool, async (client) => {
      await client.query('set local statement_timeout = 0');
      const { rows } = await client.query<{ log_id: string }>('select log_id from fabula.audit_heads where log = $1 for update', [
        numberOf(log),
      ]);
      const base = logId === undefined || rows[0]?.log_id !== logId ? undefined : await readBase(client, logId, numberOf(log));
      if (base !== undefined) return backToBase(client, base);
      for (const table of ['audit_heads', 'audit_tiles', 'audit_term_blocks', 'audit_leaves'])
        await client.query(unhurried(table, numberOf(log)));
    });
  }

  async saveExport(job: ExportJob): Promise<void> {
    await this.pool.query(
      `insert into fabula.audit_exports (id, requested_at, job) values ($1, $2, $3)
       on conflict (id) do update set job = excluded.job`,
      [job.id, job.requestedAt, jobRow(job)],
    );
  }

  async export(id: string): Promise<ExportJob | undefined> {
    const { rows } = await this.pool.query<{ job: unknown }>('select job from fabula.audit_exports where id = $1', [id]);
    return rows[0] === undefined ? undefined : exportOf(rows[0].job);
  }

  async exports(limit: number): Promise<readonly ExportJob[]> {
    const { rows } = await this.pool.query<{ job: unknown }>(
      'select job from fabula.audit_exports order by requested_at desc, id limit $1',
      [limit],
    );
    return rows.map((row) => exportOf(row.job));
  }
}
