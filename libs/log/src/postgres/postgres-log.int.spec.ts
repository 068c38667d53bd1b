import { Pool } from 'pg';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { describeEventLog } from '../contract/event-log-contract.js';
import { openPostgresLog } from './postgres-log.js';

describe('the Postgres log', () => {
  const databases: TestDatabase[] = [];
  const pools: Pool[] = [];
  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    await Promise.all(databases.map((database) => database.drop()));
  });

  describeEventLog('the Postgres log', () => {
    const homes = new WeakMap<object, TestDatabase>();
    return {
      async create(partitions) {
        const database = await createTestDatabase();
        databases.push(database);
        const log = await openPostgresLog({ pool: database.pool, partitions });
        homes.set(log, database);
        return log;
      },
      async reopen(log) {
        const database = homes.get(log)!;
        const pool = new Pool({ connectionString: database.url, max: 3 });
        pool.on('error', () => {});
        pools.push(pool);
        return openPostgresLog({ pool, partitions: log.partitions });
      },
    };
  });
});
