import type { Pool } from 'pg';
import type { LogId } from '#lib/log';
import type { LogName } from '../log-name.js';
import {
  forkDigest,
  MAX_COSIGNATURES,
  MAX_FORKS,
  type Cosignature,
  type ForkKind,
  type ForkReport,
  type WitnessRecords,
} from '../witness/witness-records.js';
import { logOf, numberOf } from './rows.js';

interface CosignatureRow {
  readonly log_id: string;
  readonly log: number;
  readonly witness: string;
  readonly size: string;
  readonly line: string;
  readonly cosigned_at: string;
}
interface ForkRow {
  readonly log_id: string;
  readonly log: number;
  readonly kind: ForkKind;
  readonly witness: string;
  readonly found_at: string;
  readonly ours: string;
  readonly theirs: string;
  readonly old_size: string;
  readonly proof: readonly string[];
}

const COSIGNATURE = 'log_id, log, witness, size, line, cosigned_at';
const FORK = 'log_id, log, kind, witness, found_at, ours, theirs, old_size, proof';

export class PostgresWitnessRecords implements WitnessRecords {
  constructor(private readonly pool: Pool) {}

  async keepCosignature({ logId, log, size, witness, line, cosignedAt }: Cosignature): Promise<void> {
    await this.pool.query(
      `insert into fabula.audit_cosignatures (${COSIGNATURE}) values ($1, $2, $3, $4, $5, $6)
       on conflict (log_id, log, witness, size) do update set line = excluded.line, cosigned_at = excluded.cosigned_at
       where excluded.cosigned_at > audit_cosignatures.cosigned_at`,
      [logId, numberOf(log), witness, size, line, cosignedAt],
    );
    await this.pool.query(
      `delete from fabula.audit_cosignatures where log_id = $1 and log = $2 and witness = $3 and size < (
         select size from fabula.audit_cosignatures where log_id = $1 and log = $2 and witness = $3
         order by size desc offset ${MAX_COSIGNATURES - 1} limit 1)`,
      [logId, numberOf(log), witness],
    );
  }

  async cosignatures(logId: LogId, log: LogName, size: bigint): Promise<readonly Cosignature[]> {
    const { rows } = await this.pool.query<CosignatureRow>(
      `select ${COSIGNATURE} from fabula.audit_cosignatures where log_id = $1 and log = $2 and size = $3 order by witness`,
      [logId, numberOf(log), size],
    );
    return rows.map(cosignatureOf);
  }

  async newestCosignatures(logId: LogId, log: LogName): Promise<readonly Cosignature[]> {
    const { rows } = await this.pool.query<CosignatureRow>(
      `select distinct on (witness) ${COSIGNATURE} from fabula.audit_cosignatures where log_id = $1 and log = $2 order by witness, size desc`,
      [logId, numberOf(log)],
    );
    return rows.map(cosignatureOf);
  }

  async keepFork(report: ForkReport): Promise<boolean> {
    const { logId, log, witness, kind, foundAt, ours, theirs, oldSize, proof } = report;
    const { rowCount } = await this.pool.query(
      `insert into fabula.audit_forks (${FORK}, digest)
       select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 where (select count(*) from fabula.audit_forks) < ${MAX_FORKS}
       on conflict do nothing`,
      [logId, numberOf(log), kind, witness, foundAt, ours, theirs, oldSize, JSON.stringify(proof), forkDigest(report)],
    );
    return rowCount === 1;
  }

  async forks(logId: LogId, limit: number): Promise<readonly ForkReport[]> {
    const { rows } = await this.pool.query<ForkRow>(
      `select ${FORK} from fabula.audit_forks where log_id = $1 order by found_at desc, digest limit $2`,
      [logId, limit],
    );
    return rows.map(({ log_id, log, found_at, old_size, ...row }) => ({
      ...row,
      logId: log_id,
      log: logOf(log),
      foundAt: Number(found_at),
      oldSize: BigInt(old_size),
    }));
  }
}

const cosignatureOf = ({ log_id, log, witness, size, line, cosigned_at }: CosignatureRow): Cosignature => ({
  logId: log_id,
  log: logOf(log),
  witness,
  size: BigInt(size),
  line,
  cosignedAt: Number(cosigned_at),
});
