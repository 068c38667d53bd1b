// One place for this run's Postgres; the first spec that asks for a database starts it (test/support/postgres.ts).
const { createClusterFolder, removeStaleClusters } = require('./cluster-files.cjs');

module.exports = async () => {
  await removeStaleClusters();
  process.env.FABULA_TEST_CLUSTER = createClusterFolder();
};
