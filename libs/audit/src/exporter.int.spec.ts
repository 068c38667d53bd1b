import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { bodiesOf } from './bundle/bodies.js';
import { verifyBundle } from './bundle/verify-bundle.js';
import { ExportRefused } from './bundle/write-bundle.js';
import { AccessLog } from './access/index.js';
import type { AuditStore } from './audit-store.js';
import { Exporter, KeptElsewhere, MAX_WAITING_EXPORTS, TooManyExports } from './exporter.js';
import type { EvidenceSources } from './bundle/root-evidence.js';
import type { ExportJob, ExportWish } from './export-job.js';
import type { MemoryAuditStore } from './memory/memory-audit-store.js';
import { unpack } from './testing/tampering.js';
import type { KeptTimestamp } from './timestamp/timestamper.js';
import { withSignatures } from './tlog/index.js';
import { timestampOn } from './testing/timestamps.js';
import { audited, streamed, testSigner, type Audited } from './testing/audited.js';

describe('the exporter', () => {
  let directory: string;
  let history: Audited<MemoryAuditStore>;
  let made: Exporter[];
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'fabula-export-'));
    history = audited(60);
    await history.round(12);
    made = [];
  });
  afterEach(async () => {
    await Promise.all(made.map((one) => one.close()));
    await rm(directory, { recursive: true });
  });
  let ids = 0;
  /** What others say of the root tree by now. */
  let sources: EvidenceSources = {};
  afterEach(() => void (sources = {}));
  const exporter = (
    store: AuditStore = history.store,
    keeper = { id: 'here', address: 'http://here' },
    policy?: () => Promise<string>,
  ): Exporter => {
    const one = new Exporter({
      store,
      logId: history.logId,
      partitions: 2,
      signer: testSigner,
      clock: { now: () => 5 },
      ids: { uuid: () => `id-${++ids}`, hex: () => '' },
      directory: path.join(directory, keeper.id === 'here' ? 'exports' : keeper.id),
      keeper,
      bodies: bodiesOf(history.log),
      // Many files, to be interrupted between and inside them.
      entriesBytes: 3_000,
      ...sources,
      ...(policy === undefined ? {} : { policy }),
    });
    made.push(one);
    return one;
  };

  it('takes everything without a tree whose first note the root tree does not name yet', async () => {
    const note = (await history.store.latestNote('p0', history.logId))!;
    history.store.keptNotes.push({ ...note, log: 'access', rootIndex: 10_000n });
    const one = exporter();
    const { id, ranges } = await one.request('everything', 'actor-1');
    expect(ranges.map(({ log }) => log)).toEqual(['p0', 'p1', 'root']);
    await one.idle();
    expect(await one.job(id)).toMatchObject({ state: 'done' });
  });

  it('writes what was asked for into a file that verifies, and says how far it is', async () => {
    const one = exporter();
    const job = await one.request('everything', 'actor-1');
    expect(job).toMatchObject({ state: 'queued', requestedBy: 'actor-1', leavesWritten: 0 });
    expect(await one.file(job.id)).toBeUndefined();
    // What grows meanwhile is not part of it.
    await history.round(3);
    await one.idle();
    const done = await one.job(job.id);
    expect(done).toMatchObject({ state: 'done', leavesWritten: job.leavesTotal, leavesTotal: job.leavesTotal, error: null });
    const file = (await one.file(job.id)) as string;
    const bytes = await readFile(file);
    const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
    const manifest = (await unpack(bytes)).find(({ name }) => name === 'manifest-sha256.txt')?.content as Buffer;
    expect(done?.file).toEqual({ name: `${job.id}.tar`, bytes: bytes.length, sha256: sha256(bytes), manifestSha256: sha256(manifest) });
    expect((await stat(file)).mode & 0o077).toBe(0);
    const report = await verifyBundle(file, { vkey: testSigner.verifier.vkey });
    expect([report.findings, report.manifestSha256]).toEqual([[], done?.file?.manifestSha256]);
    expect(report.trees.map(({ tree }) => tree)).toEqual(['p0', 'p1', 'root']);
    expect(report.trees.reduce((sum, tree) => sum + tree.leaves, 0)).toBe(job.leavesTotal);
  });

  it('narrows an export down, and continues the notes of an earlier one', async () => {
    const one = exporter();
    const filter = { kind: 'term', term: { type: 'actor', value: 'actor-1' } } as const;
    const first = await one.request('everything', 'a', { filter });
    await one.idle();
    expect(await one.job(first.id)).toMatchObject({ state: 'done', filter, signed: [{ log: 'p0' }, { log: 'p1' }, { log: 'root' }] });
    const kept = (await history.store.latestNote('root', history.logId))?.note as string;
    await history.round(6);
    for (const since of [undefined, first.id]) {
      const next = await one.request('everything', 'a', { filter, ...(since === undefined ? {} : { since }) });
      await one.idle();
      const job = await one.job(next.id);
      expect(job).toMatchObject({ state: 'done', leavesWritten: job?.leavesTotal });
      const report = await verifyBundle((await one.file(next.id)) as string, { vkey: testSigner.verifier.vkey, previousNotes: [kept] });
      // The root tree goes along whole: it names all trees, and continues whatever note of it was kept.
      expect([report.exitCode, report.coverage]).toEqual([0, { kind: 'whole', asked: 'everything', missing: [] }]);
      expect(report.trees.map(({ tree }) => tree)).toEqual(['p0', 'p1', 'root']);
    }
    await expect(one.request('everything', 'a', { since: 'none' })).rejects.toThrow(ExportRefused);
    const timed = await one.request('everything', 'a', { filter: { kind: 'time', from: '0' } });
    await one.idle();
    expect((await verifyBundle((await one.file(timed.id)) as string, { vkey: testSigner.verifier.vkey })).findings).toEqual([]);
  });

  it('sends the trust policy along that it is given', async () => {
    const one = exporter(history.store, undefined, () =>
      Promise.resolve(`log ${testSigner.verifier.vkey}\nwitness w w.test/w+0a0b0c0d+AQ==\nquorum w\n`),
    );
    const job = await one.request('everything', 'a');
    await one.idle();
    const bytes = await readFile((await one.file(job.id)) as string);
    expect(bytes.includes('\nquorum w\n')).toBe(true);
    expect((await verifyBundle((await one.file(job.id)) as string, { vkey: testSigner.verifier.vkey })).ok).toBe(true);
  });

  it('refuses at once what cannot be exported, and more than it can hold', async () => {
    const one = exporter();
    await expect(one.request([{ log: 'p0', from: 0n, to: 10n ** 9n }], 'a')).rejects.toThrow(ExportRefused);
    const asked = await Promise.allSettled(
      Array.from({ length: MAX_WAITING_EXPORTS + 5 }, () => one.request([{ log: 'p0', from: 0n, to: 1n }], 'a')),
    );
    await expect(one.request('everything', 'a')).rejects.toThrow(TooManyExports);
    await one.idle();
    const jobs = await one.jobs(100);
    expect(jobs).toHaveLength(asked.filter(({ status }) => status === 'fulfilled').length);
    expect(jobs.every(({ state }) => state === 'done')).toBe(true);
  });

  it('leaves nothing behind when it is cancelled or fails, and says why', async () => {
    const one = exporter();
    const job = await one.request('everything', 'a');
    await one.remove(job.id);
    expect(await one.job(job.id)).toMatchObject({ state: 'cancelled', file: null });
    expect(await readdir(path.join(directory, 'exports'))).toEqual([]);
    history.store.trees.get('p0')!.leaves.splice(3, 1);
    const broken = await one.request('everything', 'a');
    await one.idle();
    expect(await one.job(broken.id)).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('leaf 3 of p0 is missing') as string,
    });
    expect(await readdir(path.join(directory, 'exports'))).toEqual([]);
  });

  it('cancels the one that is meant, at once where it waits, and removes the file of a finished one', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    // Written as far as the first page of leaves, and no further.
    const slow = new Proxy(history.store, {
      get: (store, name, receiver): unknown =>
        name === 'leafBytes'
          ? async function* (...range: Parameters<AuditStore['leafBytes']>): ReturnType<AuditStore['leafBytes']> & AsyncGenerator {
              await held;
              yield* store.leafBytes(...range);
            }
          : Reflect.get(store, name, receiver),
    });
    const one = exporter(slow);
    const [running, waiting, last] = [
      await one.request('everything', 'a'),
      await one.request('everything', 'a'),
      await one.request('everything', 'a'),
    ];
    // Although the first one stands still.
    expect(await one.remove(waiting.id)).toMatchObject({ state: 'cancelled', file: null });
    const stopped = one.remove(running.id);
    release();
    expect(await stopped).toMatchObject({ state: 'cancelled', file: null });
    await one.idle();
    expect(await one.job(last.id)).toMatchObject({ state: 'done' });
    expect(await one.job(waiting.id)).toMatchObject({ state: 'cancelled' });
    expect(await readdir(path.join(directory, 'exports'))).toEqual([`${last.id}.tar`]);
    expect(await one.remove(last.id)).toMatchObject({ state: 'done', removedAt: 5 });
    expect([await one.file(last.id), await readdir(path.join(directory, 'exports'))]).toEqual([undefined, []]);
    expect(await one.remove('none')).toBeUndefined();
  });

  describe('keeps finished bundles', () => {
    let told: [string, string][];
    let now: number;
    let free: number;
    const keeping = (limits: { days: number; maxBytes: number }): Exporter => {
      [told, now, free] = [[], 1_000, 1e12];
      const one = new Exporter({
        store: history.store,
        logId: history.logId,
        partitions: 2,
        signer: testSigner,
        clock: { now: () => now },
        ids: { uuid: () => `id-${++ids}`, hex: () => '' },
        directory: path.join(directory, 'exports'),
        keeper: { id: 'here', address: 'http://here' },
        limits,
        removing: ({ id }, reason) => Promise.resolve(void told.push([id, reason])),
        freeBytes: () => Promise.resolve(told.length === 0 ? free : 1e12),
      });
      made.push(one);
      return one;
    };
    const written = async (one: Exporter): Promise<ExportJob> => {
      const { id } = await one.request('everything', 'a');
      await one.idle();
      return (await one.job(id)) as ExportJob;
    };
    const lying = (): Promise<string[]> => readdir(path.join(directory, 'exports'));

    it('for so many days, and says when they go', async () => {
      const one = keeping({ days: 2, maxBytes: 1e12 });
      const old = await written(one);
      now += 86_400_000;
      const young = await written(one);
      now += 86_400_000;
      await one.sweep();
      expect(told).toEqual([[old.id, 'expired']]);
      expect(await lying()).toEqual([`${young.id}.tar`]);
      expect(await one.job(old.id)).toMatchObject({ state: 'done', removedAt: now });
      expect(await one.file(old.id)).toBeUndefined();
    });

    it('up to so many bytes: the oldest goes first, and one that is larger alone fails', async () => {
      const bytes = (await written(keeping({ days: 9, maxBytes: 1e12 }))).file?.bytes as number;
      await rm(path.join(directory, 'exports'), { recursive: true });
      const one = keeping({ days: 9, maxBytes: Math.floor(2.5 * bytes) });
      const jobs: ExportJob[] = [];
      for (let n = 0; n < 3; n++) {
        now++;
        jobs.push(await written(one));
      }
      expect(told).toEqual([[jobs[0]?.id, 'room']]);
      expect((await lying()).toSorted()).toEqual([`${jobs[1]?.id}.tar`, `${jobs[2]?.id}.tar`].toSorted());
      const small = keeping({ days: 9, maxBytes: bytes - 1 });
      expect(await written(small)).toMatchObject({
        state: 'failed',
        error: expect.stringContaining('all that exports may take') as string,
      });
      expect((await lying()).filter((name) => name.endsWith('.part'))).toEqual([]);
    });

    it('as long as the disk is not full, and begins none that it would fill', async () => {
      const one = keeping({ days: 9, maxBytes: 1e12 });
      const first = await written(one);
      free = 1_000;
      expect(await written(one)).toMatchObject({ state: 'failed', error: expect.stringContaining('only 1000 are there') as string });
      expect([told, await lying()]).toEqual([[], [`${first.id}.tar`]]);
      // With what the first one takes it would do.
      free = first.leavesTotal * 1_000 + 64 * 1024 * 1024 - 10;
      const second = await written(one);
      expect([told, second.state, await lying()]).toEqual([[[first.id, 'room']], 'done', [`${second.id}.tar`]]);
    });
  });

  it('takes up after a restart what was not finished', async () => {
    const one = exporter();
    const job = await one.request('everything', 'a');
    await one.close();
    expect((await one.job(job.id))?.state).not.toBe('done');
    await writeFile(path.join(directory, 'stale'), '');
    const next = exporter();
    await next.resume();
    await next.idle();
    expect(await next.job(job.id)).toMatchObject({ state: 'done' });
    expect((await verifyBundle((await next.file(job.id)) as string, { vkey: testSigner.verifier.vkey })).ok).toBe(true);
  });

  describe('killed half-way', () => {
    /** What a killed process leaves: the first bytes of the file, and a job that says it is running. */
    const killedAfter = async (
      wish: ExportWish = {},
    ): Promise<{ job: ExportJob; whole: Buffer; at: (bytes: Buffer) => Promise<Buffer> }> => {
      const one = exporter();
      const { id } = await one.request('everything', 'a', wish);
      await one.idle();
      const job = (await one.job(id)) as ExportJob;
      const file = (await one.file(id)) as string;
      const whole = await readFile(file);
      // Others play on, so that the newest notes are not those that the export was begun with.
      await history.round(3);
      return {
        job,
        whole,
        at: async (bytes) => {
          await rm(file, { force: true });
          await writeFile(`${file}.part`, bytes);
          await history.store.saveExport({ ...job, state: 'running', finishedAt: null, file: null });
          let read = 0;
          const counting = new Proxy(history.store, {
            get: (store, name, receiver): unknown =>
              name === 'leaves'
                ? async function* (...range: Parameters<AuditStore['leaves']>): ReturnType<AuditStore['leaves']> & AsyncGenerator {
                    for await (const page of store.leaves(...range)) {
                      read += page.leaves.length;
                      yield page;
                    }
                  }
                : Reflect.get(store, name, receiver),
          });
          const next = exporter(counting);
          await next.resume();
          await next.idle();
          leavesRead = read;
          return readFile((await next.file(id)) as string);
        },
      };
    };
    let leavesRead = 0;

    const filter = { kind: 'term', term: { type: 'actor', value: 'actor-1' } } as const;
    it.each<ExportWish>([{}, { filter }, { bodies: true }, { filter, bodies: true }])(
      'goes on where it stood, and ends with the very bytes of an undisturbed one (%j)',
      async (wish) => {
        const { job, whole, at } = await killedAfter(wish);
        for (let cut = 0; cut <= whole.length; cut += Math.ceil(whole.length / 40)) {
          expect((await at(whole.subarray(0, cut))).equals(whole)).toBe(true);
        }
        if (wish.filter === undefined) expect(leavesRead).toBeLessThan(job.leavesTotal / 10);
        // The file system did not bring all of the end to the disk.
        const torn = Buffer.concat([whole.subarray(0, whole.length >> 1), Buffer.alloc(5_000)]);
        expect((await at(torn)).equals(whole)).toBe(true);
        expect(await readdir(path.join(directory, 'exports'))).toEqual([`${job.id}.tar`]);
      },
    );

    it('goes on with the timestamp and the cosigned note that it was begun with, though there are newer ones', async () => {
      const rootSize = async (): Promise<bigint> => (await history.store.latestNote('root', history.logId))?.size ?? 0n;
      const stampOf = async (at: number): Promise<KeptTimestamp> => {
        const { size = 0n, note = '' } = (await history.store.latestNote('root', history.logId)) ?? {};
        return {
          logId: history.logId,
          log: 'root',
          size,
          note,
          authority: 'https://tsa.test',
          stampedAt: at,
          response: timestampOn(note, at),
        };
      };
      const [stamps, seen] = [[{ ...(await stampOf(9)), response: Buffer.from('no token') }, await stampOf(86_400_000)], await rootSize()];
      await history.round(3);
      let asked = 0;
      sources = {
        timestamps: () => Promise.resolve(stamps),
        witnessed: () => Promise.resolve(seen),
        // Ever more witnesses answer.
        cosigned: ({ note }) =>
          Promise.resolve(asked++ === 0 ? note : withSignatures(note, [{ name: `w${asked}`, keyId: 1, signature: Buffer.alloc(72) }])),
      };
      const { whole, at } = await killedAfter();
      expect(whole.includes('data/timestamp.tsr') && whole.includes('data/root-cosigned.json')).toBe(true);
      stamps.unshift(await stampOf(172_800_000));
      sources = { ...sources, witnessed: rootSize };
      // Cosignatures that came meanwhile do not change what is written already.
      const again = await at(whole.subarray(0, whole.length >> 1));
      expect(again.equals(whole)).toBe(true);
      const files = await unpack(again);
      expect(files.find(({ name }) => name === 'data/timestamp.tsr')?.content).toEqual(stamps[2]?.response);
      const report = await verifyBundle(streamed(again), { vkey: testSigner.verifier.vkey });
      expect(report).toMatchObject({ ok: true, timestamp: { stampedAt: 86_400_000, size: String(seen), signature: 'not-checked' } });
      expect(report.notShown.join()).toContain('that the timestamp is signed at all');
    });

    it('begins anew where what was left is not its beginning, or does not verify', async () => {
      const { job, whole, at } = await killedAfter();
      const leaf = whole.indexOf('"verdict":"accepted"');
      for (const spoilt of [10, whole.indexOf('data/p0/proof.json') + 600, leaf + 11]) {
        const bytes = Buffer.from(whole.subarray(0, whole.length >> 1));
        bytes[spoilt]! ^= 1;
        const again = await at(bytes);
        expect(again.equals(whole)).toBe(true);
        const report = await verifyBundle(streamed(again), { vkey: testSigner.verifier.vkey });
        expect([report.findings, report.exportId]).toEqual([[], job.id]);
      }
    });

    it('is not left lying about once nobody is to write it', async () => {
      const one = exporter();
      await one.idle();
      const folder = path.join(directory, 'exports');
      await mkdir(folder, { recursive: true });
      await writeFile(path.join(folder, 'id-of-none.tar.part'), 'x');
      await one.resume();
      expect(await readdir(folder)).toEqual([]);
    });
  });

  it('takes the access log along with everything', async () => {
    const access = new AccessLog({ store: history.store, logId: history.logId, timers: { after: () => () => undefined } });
    await access.record({ event: 'sensitive_read', at: 7, actor: 'a', roles: [], action: 'GET /x', outcome: 'ok', correlationId: 'c' });
    await history.sign();
    const one = exporter();
    const job = await one.request('everything', 'a');
    await one.idle();
    const report = await verifyBundle((await one.file(job.id)) as string, { vkey: testSigner.verifier.vkey });
    expect([report.findings, report.trees.map(({ tree }) => tree)]).toEqual([[], ['p0', 'p1', 'access', 'root']]);
  });

  it('leaves the exports of other processes to them, and has no file of theirs', async () => {
    const one = exporter();
    const job = await one.request('everything', 'a');
    await one.close();
    const other = exporter(history.store, { id: 'elsewhere', address: 'http://elsewhere' });
    await other.resume();
    await other.idle();
    await expect(other.remove(job.id)).rejects.toThrow(KeptElsewhere);
    const left = await other.job(job.id);
    expect(left?.state).not.toBe('done');
    expect(left).toMatchObject({ keptBy: { id: 'here', address: 'http://here' } });
    const next = exporter();
    await next.resume();
    await next.idle();
    const done = await other.job(job.id);
    expect(done?.state).toBe('done');
    expect(await other.file(job.id)).toBeUndefined();
    const file = (await next.file(job.id)) as string;
    await rm(file);
    expect(await next.file(job.id)).toBeUndefined();
  });
});
