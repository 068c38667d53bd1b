import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Pool } from 'pg';
import { partitionLog, PostgresAuditStore, type BundleReport, type StoredLeaf } from '#lib/audit';
import { canonicalJson, sha256Hex } from '#lib/canonical';
import { openPostgresLog } from '#lib/log';
import { leafHash } from '../../libs/audit/src/tlog/index.js';
import { TreeGrowth } from '../../libs/audit/src/tree-growth.js';
import { rssMb } from '../chaos/process-figures.js';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { isLong } from '../support/requirement.js';
import { ServerProcess } from '../support/server-process.js';
import { verified } from '../support/verification.js';
import { eventually } from './expectations.js';

const LEAVES = isLong ? 2_000_000 : 20_000;
/** Of one actor: every hundredth leaf. */
const ACTORS = 100;
const PER_BATCH = 2_000;
const PARTITIONS = 4;
const MOST_MB = 250;
/** As `npm start` and the image start it: no limit of memory, only a young generation that is not larger than it need be. */
const AS_STARTED = { NODE_OPTIONS: '--max-semi-space-size=8' };
const ROW = `5.7 export of ${LEAVES} leaves`;
const WITHIN_MS = isLong ? 3_600_000 : 60_000;

jest.setTimeout(isLong ? 7_200_000 : 180_000);

/** Leaves as an auditor writes them, straight into the store: playing as many would take days. */
async function fill(pool: Pool, logId: string, partitions: number): Promise<void> {
  const store = new PostgresAuditStore(pool);
  const each = LEAVES / partitions;
  for (let partition = 0; partition < partitions; partition++) {
    const log = partitionLog(partition);
    await store.open(log, logId);
    const growth = new TreeGrowth({ size: 0n, frontier: [] }, []);
    let previous: Buffer | null = null;
    for (let size = 0; size < each;) {
      const leaves: StoredLeaf[] = [];
      for (const until = Math.min(each, size + PER_BATCH); size < until; size++) {
        const stream = `playthrough-${partition}-${size % 5_000}`;
        const [correlationId, actor] = [sha256Hex(`c${partition}.${size}`).slice(0, 32), `reader-${size % ACTORS}`];
        const time = 1_790_000_000_000 + size;
        const bytes: Buffer = Buffer.from(
          canonicalJson({
            ...{ v: 1, log: logId, partition, index: String(size), offset: String(size), time: String(time), verdict: 'accepted' },
            ...{ record: sha256Hex(`r${partition}.${size}`), previousLeaf: previous?.toString('hex') ?? null },
            envelope: {
              stream,
              expectedVersion: size,
              eventCount: 1,
              previous: null,
              commandId: `c:${correlationId}`,
              commandDigest: correlationId,
            },
            ...{ correlationId, causationId: null, actor: { id: actor, role: 'reader' }, at: String(time) },
            events: [
              { type: 'ChoiceMade', v: 1, storyId: 'a-story', turn: size % 50, passage: 'hall', choice: 'north', toPassage: 'garden' },
            ],
          }),
        );
        previous = leafHash(bytes);
        growth.append(previous);
        leaves.push({ index: BigInt(size), offset: size, time, bytes, stream, correlationId, actor, accepted: true });
      }
      const head = { log, logId, nextOffset: size, size: growth.size, frontier: growth.hashes, previousLeaf: previous };
      await store.transact(log, (transaction) => transaction.grow({ leaves, tiles: growth.takeChanged(), head }));
    }
  }
}

interface Job {
  readonly id: string;
  readonly state: string;
  readonly leavesWritten: number;
  readonly leavesTotal: number;
  readonly error: string | null;
  readonly file: { readonly bytes: number } | null;
}

describe('an export of very many leaves', () => {
  let database: TestDatabase;
  let folder: string;
  let server: ServerProcess | undefined;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'fabula-large-'));
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await server?.kill();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Without an auditor, which would miss the records of these leaves. */
  const start = (): Promise<ServerProcess> =>
    ServerProcess.start({
      databaseUrl: database.url,
      dataDir: path.join(folder, 'data'),
      env: { FABULA_ROLES: 'api,signer', FABULA_PARTITIONS: String(PARTITIONS), FABULA_CHECKPOINT_INTERVAL_MS: '1000', ...AS_STARTED },
    });

  test(`of ${LEAVES} leaves takes constant memory in server and verifier, says how far it is, and goes on after a kill`, async () => {
    const figures = await verified(ROW, async () => {
      let began = performance.now();
      const log = await openPostgresLog({ pool: database.pool, partitions: PARTITIONS });
      const logId = await log.id();
      await log.close();
      await fill(database.pool, logId, PARTITIONS);
      const filledSeconds = seconds(began);
      server = await start();
      let most = 0;
      const watch = setInterval(() => {
        if (server !== undefined)
          void rssMb(server.pid).then(
            (mb) => (most = largest(most, mb)),
            () => undefined,
          );
      }, 100);
      const api = async (): Promise<ApiClient> => new ApiClient(server!.url, await server!.token(['compliance']));
      let compliance = await api();
      const get = async <T>(url: string): Promise<T> => (await compliance.rest('GET', url)).body as T;
      began = performance.now();
      await eventually(
        async () => {
          const { logs } = await get<{ logs: { log: string; signedSize: string }[] }>('/audit/logs');
          const signed = logs.filter((one) => one.log.startsWith('p')).reduce((sum, { signedSize }) => sum + Number(signedSize), 0);
          return signed === LEAVES ? true : undefined;
        },
        'every leaf is in a signed tree',
        WITHIN_MS,
      );
      const signedSeconds = seconds(began);
      const signingMb = most;
      // Signing two million leaves at one go is not what is measured here: from now on it exports.
      await server.stop();
      server = await start();
      compliance = await api();
      most = 0;
      const order = (body: object): Promise<string> =>
        eventually(
          async () => {
            const answer = (await compliance.rest('POST', '/audit/exports', body)).body as Partial<Job> & { code?: string };
            if (answer.id === undefined && answer.code !== 'OVERLOADED') throw new Error(JSON.stringify(answer));
            return answer.id;
          },
          'the export is ordered',
          WITHIN_MS,
        );
      const until = (id: string, met: (job: Job) => boolean): Promise<Job> =>
        eventually(
          async () => {
            const job = await get<Job>(`/audit/exports/${id}`);
            if (job.state === 'failed') throw new Error(String(job.error));
            return met(job) ? job : undefined;
          },
          `export ${id}`,
          WITHIN_MS,
        );
      const verifier = path.resolve(__dirname, '../../dist/verifier/verify.mjs');
      const { verifierKey } = await get<{ verifierKey: string }>('/audit/logs');
      const verify = async (id: string): Promise<{ report: BundleReport; mb: number; seconds: number }> => {
        const file = path.join(folder, `${id}.tar`);
        const answer = await fetch(`${server!.url}/audit/exports/${id}/download`, {
          headers: { authorization: `Bearer ${compliance.token}` },
        });
        await pipeline(Readable.fromWeb(answer.body as Parameters<typeof Readable.fromWeb>[0]), createWriteStream(file));
        const begun = performance.now();
        const child = spawn(process.execPath, [verifier, file, '--key', verifierKey, '--json'], { env: {} });
        let [out, mb] = ['', 0];
        child.stdout.on('data', (text) => (out += String(text)));
        const look = setInterval(
          () =>
            void rssMb(child.pid as number).then(
              (now) => (mb = largest(mb, now)),
              () => undefined,
            ),
          50,
        );
        await once(child, 'close');
        clearInterval(look);
        await rm(file);
        return { report: JSON.parse(out) as BundleReport, mb, seconds: seconds(begun) };
      };

      began = performance.now();
      const undisturbed = await until(await order({}), ({ state }) => state === 'done');
      const exportSeconds = seconds(began);
      const whole = await verify(undisturbed.id);
      expect(whole.report.findings).toEqual([]);
      expect(whole.report.trees.reduce((sum, { leaves, tree }) => sum + (tree.startsWith('p') ? leaves : 0), 0)).toBe(LEAVES);

      const exportingMb = most;
      most = 0;

      const killed = await order({});
      const half = isLong ? await until(killed, ({ leavesWritten, leavesTotal }) => leavesWritten > leavesTotal / 3) : undefined;
      await server.kill();
      const exportsFolder = path.join(folder, 'data', 'exports');
      const left = (await readdir(exportsFolder)).find((name) => name === `${killed}.tar.part`);
      const keptBytes = left === undefined ? 0 : (await stat(path.join(exportsFolder, left))).size;
      if (half !== undefined) expect(keptBytes).toBeGreaterThan(0);
      server = await start();
      compliance = await api();
      began = performance.now();
      await until(killed, ({ state }) => state === 'done');
      const resumeSeconds = seconds(began);
      expect((await verify(killed)).report.findings).toEqual([]);
      const resumingMb = most;
      most = 0;

      began = performance.now();
      const filtered = await until(await order({ filter: { actor: 'reader-7' } }), ({ state }) => state === 'done');
      const filteredSeconds = seconds(began);
      const narrow = await verify(filtered.id);
      expect(narrow.report.findings).toEqual([]);
      expect(narrow.report.trees.reduce((sum, { shown, tree }) => sum + (tree.startsWith('p') ? shown : 0), 0)).toBe(LEAVES / ACTORS);
      clearInterval(watch);
      const mostMb = { exporting: exportingMb, resuming: resumingMb, filtering: most, verifier: whole.mb, verifierFiltered: narrow.mb };
      for (const [what, mb] of Object.entries(mostMb))
        if (mb >= MOST_MB) throw new Error(`${what} took ${mb} MB: ${JSON.stringify(mostMb)}`);
      return {
        leaves: LEAVES,
        ...{ filledSeconds, signedSeconds, exportSeconds, filteredSeconds, keptBytesAtKill: keptBytes, resumeSeconds },
        ...{ exportBytes: undisturbed.file?.bytes ?? 0, filteredBytes: filtered.file?.bytes ?? 0 },
        ...{
          serverMbWhileSigning: signingMb,
          serverMbWhileExporting: exportingMb,
          serverMbWhileResuming: resumingMb,
          serverMbWhileFiltering: most,
          verifierMb: whole.mb,
          verifierMbFiltered: narrow.mb,
        },
        ...{ verifySeconds: whole.seconds, verifiedLeavesPerSecond: Math.round(LEAVES / whole.seconds) },
        verifySecondsFiltered: narrow.seconds,
      };
    });
    expect(figures.leaves).toBe(LEAVES);
  });
});

/** A process that is just ending has no memory to tell. */
const largest = (most: number, mb: number): number => (mb > most ? mb : most);
const seconds = (began: number): number => Math.round((performance.now() - began) / 100) / 10;
