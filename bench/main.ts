import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres } from '#lib/platform';
import { prepareTemplate } from './databases.js';
import { brokersMissing, startBrokers, type BenchBrokers } from './kafka/brokers.js';
import type { RowNews, RowOrder } from './row-process.js';
import type { RowReport } from './row.js';
import { rows } from './rows.js';
import { lineOf, table, type ResultLine } from './report.js';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: Object.keys(rows).join(',') },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    json: { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const usage = `npm run bench -- [--rows ${Object.keys(rows).join(',')}] [--rounds 5] [--seconds 4] [--json] [--profile folder]
--rounds 1 --seconds 1 is a quick run which only shows that the bench works.
${Object.entries(rows)
  .map(([name, { about }]) => `  ${name.padEnd(14)} ${about}`)
  .join('\n')}`;

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} ${text}: a number above 0 is needed`);
  return value;
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const names = values.rows.split(',');
  const unknown = names.filter((name) => rows[name] === undefined);
  if (unknown.length > 0) {
    say(`no such row: ${unknown.join(', ')}\n${usage}`);
    return 2;
  }
  const rounds = Math.ceil(positive('rounds', values.rounds));
  const seconds = positive('seconds', values.seconds);
  const smoke = rounds === 1 && seconds <= 1;
  const folder = await mkdtemp(path.join(os.tmpdir(), 'fabula-bench-'));
  const postgres = await startEmbeddedPostgres({
    dir: folder,
    supervise: false,
    settings: { max_connections: '200', shared_buffers: '512MB', max_wal_size: '4GB' },
  });
  const profile = values.profile === undefined ? undefined : path.resolve(values.profile);
  // Ctrl-C reaches the rows' processes too; a cluster must not stay behind.
  let brokers: BenchBrokers | undefined;
  const stop = async (): Promise<void> => {
    await brokers?.stop();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop().finally(() => process.exit(130)));
  const lines: ResultLine[] = [];
  let failed = 0;
  try {
    const adminUrl = postgres.url();
    await prepareTemplate(adminUrl);
    for (const [index, row] of names.entries()) {
      say(`[${index + 1}/${names.length}] ${row}: ${rows[row]?.about}`);
      const begun = performance.now();
      const needsBrokers = rows[row]?.needs === 'kafka';
      const missing = needsBrokers ? brokersMissing() : undefined;
      if (missing !== undefined) {
        say(`  skipped: ${missing}`);
        continue;
      }
      try {
        if (needsBrokers) brokers ??= await startBrokers(path.join(folder, 'kafka'), (text) => say(`  ${text}`));
        const kafka = needsBrokers && brokers !== undefined ? { brokers: brokers.addresses, pids: brokers.pids } : undefined;
        const cluster = { adminUrl, pid: postgres.pid() ?? 0 };
        const order: RowOrder = { row, rounds, seconds, smoke, folder, profile, postgres: cluster, kafka };
        for (const report of await runRow(order)) {
          const line = lineOf(report, rounds);
          lines.push(line);
          console.log(JSON.stringify(line));
        }
      } catch (error) {
        failed++;
        say(`  ✗ ${error instanceof Error ? error.message : String(error)}`);
      }
      say(`  ${((performance.now() - begun) / 1000).toFixed(0)} s`);
    }
  } finally {
    await stop();
  }
  if (!values.json) say(`\n${table(lines)}`);
  if (smoke) say('One short round: this shows that the bench works; the figures mean nothing.');
  return failed === 0 ? 0 : 1;
}

function runRow(order: RowOrder): Promise<readonly RowReport[]> {
  const profiling = order.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${order.profile}`];
  const child = fork(path.join(import.meta.dirname, 'row-process.js'), [], {
    execArgv: ['--expose-gc', '--enable-source-maps', ...profiling],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise<readonly RowReport[]>((resolve, reject) => {
    child.on('message', (message) => {
      const news = message as RowNews;
      if ('progress' in news) say(`  ${news.progress}`);
      else if ('reports' in news) resolve(news.reports);
      else reject(new Error(news.failure));
    });
    child.once('exit', (code, signal) => reject(new Error(`its process ended with ${signal ?? code}`)));
    child.send(order);
  }).finally(async () => {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (child.connected) child.disconnect();
    if (child.exitCode === null && child.signalCode === null) await gone;
  });
}

process.exitCode = await main();
