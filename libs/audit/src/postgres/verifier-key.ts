import type { Pool } from 'pg';
import type { LogId } from '#lib/log';

/** Two processes would sign the notes of one log with two keys: to whoever verifies them that looks like tampering. */
export class AuditKeyDiffers extends Error {
  override readonly name = 'AuditKeyDiffers';
}

/** The verifier key of the process that first signed for this log; undefined before that. */
export async function keptVerifierKey(pool: Pool, logId: LogId): Promise<string | undefined> {
  const { rows } = await pool.query<{ verifier_key: string }>('select verifier_key from fabula.audit_keys where log_id = $1', [logId]);
  return rows[0]?.verifier_key;
}

/**
 * Before anything is signed: the first process keeps its key's public half, every later one must have the same key.
 * @param file where this process has its key
 * @throws AuditKeyDiffers
 */
export async function agreeOnKey(pool: Pool, logId: LogId, verifierKey: string, file: string): Promise<void> {
  await pool.query(
    `with first as (
       insert into fabula.audit_keys (log_id, verifier_key) values ($1, $2) on conflict do nothing returning log_id, verifier_key
     )
     insert into fabula.audit_signing_keys (log_id, position, verifier_key, since, announced_at)
     select log_id, 0, verifier_key, '{}', 0 from first on conflict do nothing`,
    [logId, verifierKey],
  );
  const kept = await keptVerifierKey(pool, logId);
  if (kept === verifierKey) return;
  throw new AuditKeyDiffers(
    `The audit of this database is signed with another key (${kept}) than ${file} (${verifierKey}): copy \`audit-signing.key\` from the first node's data directory.`,
  );
}
