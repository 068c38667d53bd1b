import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { projectionContract } from './contract/projection-contract.js';
import { listGenerations } from './generations.js';
import { PostgresColdSource } from './postgres-cold-source.js';
import { PostgresProjection } from './postgres-projection.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
}, 60_000);
afterAll(() => database.drop());

/** A store without generations, as on a new database. */
async function empty() {
  for (const { n } of await listGenerations(database.pool)) await database.pool.query(`drop schema projection_${n} cascade`);
  await database.pool.query('delete from fabula.projection_generations');
  const cold = new PostgresColdSource(database.pool, { now: () => Date.now() });
  return { store: new PostgresProjection(database.pool, cold.live), cold };
}

projectionContract('postgres', empty, 12);
