const { removeCluster } = require('./cluster-files.cjs');

module.exports = async () => {
  if (process.env.FABULA_TEST_CLUSTER) await removeCluster(process.env.FABULA_TEST_CLUSTER);
};
