import type { Pool, PoolClient } from 'pg';
import type { LogId } from '#lib/log';
import type { KeptKey, TreeSizes } from '../keys/kept-keys.js';

interface KeyRow {
  readonly verifier_key: string;
  readonly since: TreeSizes;
  readonly until: TreeSizes | null;
  readonly announced_at: string;
}

/** The keys that sign or signed that log's notes, the oldest first. */
export async function readSigningKeys(client: Pick<Pool, 'query'>, logId: LogId): Promise<readonly KeptKey[]> {
  const { rows } = await client.query<KeyRow>({
    name: 'audit-signing-keys',
    text: 'select verifier_key, since, until, announced_at from fabula.audit_signing_keys where log_id = $1 order by position',
    values: [logId],
  });
  return rows.map(({ verifier_key, since, until, announced_at }) => ({
    vkey: verifier_key,
    since,
    until,
    announcedAt: Number(announced_at),
  }));
}

/** The key becomes the current one; the one before it counts up to the sizes from which the new one signs. Programs of before read `audit_keys`. */
export async function addSigningKey(client: PoolClient, logId: LogId, key: KeptKey): Promise<void> {
  await client.query('update fabula.audit_signing_keys set until = $2 where log_id = $1 and until is null', [
    logId,
    JSON.stringify(key.since),
  ]);
  await client.query(
    `insert into fabula.audit_signing_keys (log_id, position, verifier_key, since, announced_at)
     select $1, coalesce(max(position) + 1, 0), $2, $3, $4 from fabula.audit_signing_keys where log_id = $1`,
    [logId, key.vkey, JSON.stringify(key.since), key.announcedAt],
  );
  await client.query(
    'insert into fabula.audit_keys (log_id, verifier_key) values ($1, $2) on conflict (log_id) do update set verifier_key = excluded.verifier_key',
    [logId, key.vkey],
  );
}
