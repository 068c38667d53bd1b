// What the jest parent (plain JavaScript: it runs outside the transformer's reach) needs to know about test clusters.
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const PREFIX = 'fabula-test-cluster-';

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Process id of the Postgres in that folder, if it runs. Another program may have the number by now: its command line tells. */
function postmaster(folder) {
  try {
    const pid = Number(fs.readFileSync(path.join(folder, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
    if (!(pid > 1) || !isAlive(pid)) return undefined;
    const proc = `/proc/${pid}/cmdline`;
    if (fs.existsSync(proc) && !fs.readFileSync(proc, 'utf8').includes(folder)) return undefined;
    return pid;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Kafka's brokers that specs of the run started in that folder: `<folder>/<cluster>/node-<n>/pid`. */
function brokers(folder) {
  const found = [];
  for (const entry of fs.existsSync(folder) ? fs.readdirSync(folder, { withFileTypes: true }) : []) {
    for (const node of entry.isDirectory() && entry.name.startsWith('kafka-') ? fs.readdirSync(path.join(folder, entry.name)) : []) {
      const file = path.join(folder, entry.name, node, 'pid');
      if (!fs.existsSync(file)) continue;
      const pid = Number(fs.readFileSync(file, 'utf8'));
      if (!(pid > 1) || !isAlive(pid)) continue;
      const proc = `/proc/${pid}/cmdline`;
      if (fs.existsSync(proc) && !fs.readFileSync(proc, 'utf8').includes(folder)) continue;
      found.push(pid);
    }
  }
  return found;
}

async function removeCluster(folder) {
  const kafka = brokers(folder);
  for (const pid of kafka) process.kill(pid, 'SIGKILL');
  for (let i = 0; i < 500 && kafka.some(isAlive); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  const pid = postmaster(folder);
  if (pid !== undefined) {
    process.kill(pid, 'SIGQUIT');
    for (let i = 0; i < 500 && isAlive(pid); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** Clusters of test runs that were killed before they could clean up: their jest is gone. */
async function removeStaleClusters() {
  for (const name of fs.readdirSync(os.tmpdir())) {
    const match = /^fabula-test-cluster-(\d+)-/.exec(name);
    if (match !== null && !isAlive(Number(match[1]))) await removeCluster(path.join(os.tmpdir(), name));
  }
}

function createClusterFolder() {
  return fs.mkdtempSync(path.join(os.tmpdir(), `${PREFIX}${process.pid}-`));
}

module.exports = { createClusterFolder, removeCluster, removeStaleClusters };
