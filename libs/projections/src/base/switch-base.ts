import type { Pool, PoolClient } from 'pg';
import type { LogId } from '#lib/log';
import { schemaOf } from '../generation-ddl.js';
import { dropGeneration, listGenerations, locked, transaction } from '../generations.js';
import { columnName, TABLES } from '../tables.js';
import { REDUCED } from './base-rows.js';
import { checkBase, currentBases, digestNow, dropBase, listBases, type LogBase } from './log-base.js';

/**
 * From here on every fold of the partition begins with this base, in one transaction; its rows are verified once more. Read models that were being
 * built from before give way. The caller holds the rebuild's lock.
 * @param digest as it was recorded
 * @throws LogBaseDamaged
 */
export async function switchBase(pool: Pool, base: LogBase, digest: string): Promise<void> {
  await locked(pool, async (client) => {
    await client.query('set local statement_timeout = 0');
    await client.query('set local synchronous_commit = on');
    const bases = (await listBases(client, base.logId)).filter(({ partition }) => partition === base.partition);
    const now = bases.find(({ id }) => id === base.id);
    if (now === undefined || now.offset !== base.offset || bases.some(({ state, offset }) => state === 'current' && offset >= base.offset))
      throw new Error(`the base of partition ${base.partition} was changed elsewhere`);
    await checkBase(client, { ...now, digest });
    await client.query(`update fabula.log_bases set state = 'former' where log_id = $1 and partition = $2 and state = 'current'`, [
      base.logId,
      base.partition,
    ]);
    await client.query(`update fabula.log_bases set state = 'current' where id = $1 and state = 'folded'`, [base.id]);
    for (const { n, state } of await listGenerations(client)) if (state === 'building') await dropGeneration(client, n);
  });
}

/** The digest of what lies there now. @throws LogBaseDamaged when that is no base at all */
export function baseDigest(pool: Pool, base: LogBase): Promise<string> {
  return transaction(pool, async (client) => {
    await client.query('set transaction isolation level repeatable read, read only');
    await client.query('set local statement_timeout = 0');
    return digestNow(client, base);
  });
}

/** Bases that gave way to newer ones. */
export async function dropFormer(pool: Pool, logId: LogId): Promise<void> {
  await locked(pool, async (client) => {
    for (const base of await listBases(client, logId)) if (base.state === 'former') await dropBase(client, base);
  });
}

/** Rows looked at in one transaction. */
const PAGE = 5_000;

/**
 * Takes from a generation what its log's bases do not have of the records before them: so it is what a fold from them on gives. Safe beside its
 * projector, which writes rows of later records alone, and to repeat. @returns how many rows went
 */
export async function thin(pool: Pool, generation: number, logId: LogId, signal?: AbortSignal): Promise<number> {
  let gone = 0;
  for (const base of await currentBases(pool, logId))
    for (const name of REDUCED) {
      const statement = thinning(schemaOf(generation), schemaOf(-base.id), name);
      let after: readonly string[] | undefined;
      do {
        signal?.throwIfAborted();
        const page = await transaction(pool, (client) => thinned(client, statement, base, name, after));
        gone += page.gone;
        after = page.last;
      } while (after !== undefined);
    }
  return gone;
}

interface Page {
  readonly gone: number;
  readonly last: readonly string[] | undefined;
}

async function thinned(
  client: PoolClient,
  statement: { readonly first: string; readonly next: string },
  { partition, offset }: LogBase,
  name: (typeof REDUCED)[number],
  after: readonly string[] | undefined,
): Promise<Page> {
  await client.query('set local statement_timeout = 0');
  const text = after === undefined ? statement.first : statement.next;
  const query = { text, values: [partition, offset, ...(after ?? [])] };
  const { rows } = await client.query<{ n: string; gone: string } & Record<string, string>>(query);
  const [row] = rows;
  const last = TABLES[name].key.map((column) => row?.[column] ?? '');
  return { gone: Number(row?.gone ?? 0), last: Number(row?.n ?? 0) < PAGE ? undefined : last };
}

/** A page of rows in the order of their key, of which those that are older than the base and not in it go; answers its last key. */
function thinning(live: string, base: string, name: (typeof REDUCED)[number]): { readonly first: string; readonly next: string } {
  const { sql, key, columns } = TABLES[name];
  const own = (key as readonly string[]).map(columnName);
  const types = (key as readonly string[]).map((one) => (columns as Readonly<Record<string, string>>)[one]);
  const same = (a: string, b: string): string => own.map((one) => `${a}.${one} = ${b}.${one}`).join(' and ');
  const text = (from: string): string => `with page as (
      select ${own.join(', ')}, row_number() over (order by ${own.join(', ')}) as place from (
        select ${own.join(', ')} from ${live}.${sql} ${from} order by ${own.join(', ')} limit ${PAGE}
      ) found
    ), gone as (
      delete from ${live}.${sql} t using page where ${same('t', 'page')} and t.partition = $1 and t."offset" < $2
        and not exists (select from ${base}.${sql} b where ${same('b', 't')})
      returning 1
    )
    select (select count(*) from page) as n, (select count(*) from gone) as gone,
      ${(key as readonly string[]).map((one, i) => `(select ${own[i]}::text from page order by place desc limit 1) as "${one}"`).join(', ')}`;
  const after = `where (${own.join(', ')}) > (${types.map((type, i) => `$${i + 3}::${type}`).join(', ')})`;
  return { first: text(''), next: text(after) };
}
