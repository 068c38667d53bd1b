import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { LeavesPruned, PRUNE_BLOCK, verifyBundle } from '#lib/audit';
import { authoringEvents, storyStream, type StoryCommand } from '#lib/authoring';
import { complianceEvents, RETENTION_CLASSES, type Action, type Asked } from '#lib/compliance';
import { logEvents } from '#lib/log';
import { createLogger, FabulaError, loadConfig, systemClock, systemTimers, type UserRole } from '#lib/platform';
import { derivedPlaythroughId, playthroughEvents, playthroughStream } from '#lib/playthrough';
import { rebuild } from '#lib/projections';
import type { Story } from '#lib/story';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { temporaryDataDir } from '../../../../test/support/server-process.js';
import { STORY_TEXT } from '../../../../test/simulation/story.js';
import type { Asking } from '../compliance/compliance-service.js';
import { FeedService } from '../feed/feed-service.js';
import { FabulaNode } from '../node.js';
import { PRUNE_STEPS } from './log-pruning.js';

const DAY = 86_400_000;
const PLAYED = 700;
const until = async (what: () => Promise<boolean>): Promise<void> => {
  for (const end = Date.now() + 30_000; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (await what()) return;
    if (Date.now() > end) throw new Error('waited in vain');
  }
};

it('names a purpose and a class for every event type there is, and none for others', () => {
  const named = RETENTION_CLASSES.flatMap(({ streams, events }) => Object.keys(events).map((type) => `${streams} ${type}`));
  const there = { playthrough: playthroughEvents, story: authoringEvents, compliance: complianceEvents, log: logEvents };
  const known = Object.entries(there).flatMap(([kind, types]) => [...types.keys()].map((type) => `${kind} ${type}`));
  expect(named.toSorted()).toEqual(known.toSorted());
  expect(RETENTION_CLASSES.filter(({ mustEnd, keepDays }) => mustEnd && keepDays === null)).toEqual([]);
});

describe('retention of one node', () => {
  let database: TestDatabase;
  let dataDir: string;
  let node: FabulaNode;
  let versionHash: string;
  const commands = new Map<string, string>();
  const playthroughs = new Map<string, string>();
  const logger = createLogger({ level: 'silent' });
  const config = (roles: string) =>
    loadConfig({
      FABULA_DATA_DIR: dataDir,
      FABULA_ROLES: roles,
      FABULA_PARTITIONS: '1',
      FABULA_CHECKPOINT_INTERVAL_MS: '200',
    });
  const opened = async (roles: string): Promise<FabulaNode> => {
    const one = await FabulaNode.open(config(roles), logger, database.url, 'http://127.0.0.1:1');
    await one.start();
    return one;
  };

  const command = (given: StoryCommand) =>
    node.execute({
      stream: storyStream('sim'),
      commandId: `c:${randomUUID()}`,
      digestInput: { ...given },
      command: given,
      actor: { id: 'r-author', role: 'author' },
      correlationId: 'c',
      causationId: null,
    });
  const play = async (reader: string, commandId = `c:${randomUUID()}`): Promise<{ id: string; duplicate: boolean }> => {
    const id = derivedPlaythroughId(reader, commandId);
    const start = { type: 'start', storyId: 'sim', versionHash, preview: false } as const;
    const outcome = await node.execute({
      stream: playthroughStream(id),
      commandId,
      digestInput: start,
      command: start,
      actor: { id: reader, role: 'reader' },
      correlationId: 'c',
      causationId: null,
    });
    if (outcome.kind === 'rejected') throw new Error(outcome.message);
    commands.set(reader, commandId);
    playthroughs.set(reader, id);
    return { id, duplicate: outcome.duplicate };
  };
  const as = (id: string, ...roles: readonly UserRole[]): Asking => ({
    caller: { actor: `r-${id}`, roles: new Set(roles), expiresAt: Date.now() + DAY } as Asking['caller'],
    origin: { correlationId: randomUUID() },
  });
  const [dora, ada] = [as('dora', 'dpo'), as('ada', 'admin')];
  const propose = (asked: Asked): Promise<{ id: string }> =>
    node.compliance.service.propose(dora, { asked, reason: 'its time is over', minutes: 60 });
  const approved = async (asked: Asked): Promise<string> => {
    const { id } = await propose(asked);
    await node.compliance.service.approve(ada, id);
    return id;
  };
  const view = async (id: string) => {
    const { value } = await node.compliance.reads.action(id);
    const [one] = await node.compliance.views(value === undefined ? [] : [value]);
    if (one === undefined) throw new Error('there is no such action');
    return one;
  };
  const refusal = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'done',
      (error: unknown) => (error instanceof FabulaError ? `${error.code}: ${error.message}` : String(error)),
    );
  const carriedOut = (id: string) => until(async () => (await view(id)).stage === 'carried-out');
  const verified = async () => {
    await node.audit.maintenance.startVerification();
    await until(async () => node.audit.maintenance.verification().state !== 'running');
    return node.audit.maintenance.verification();
  };
  const current = async (): Promise<boolean> => {
    const end = await node.log.end(0);
    const note = await node.audit.store.latestNote('p0', node.logId);
    return note?.size === BigInt(end) && note.terms !== undefined;
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    dataDir = await temporaryDataDir();
    node = await opened('api,engine,projector');
    versionHash = await node.contents.put(JSON.parse(STORY_TEXT) as Story);
    const about = { format: 'json', lintErrors: 0, lintWarnings: 0, passages: 2, title: 'Simulated' } as const;
    await command({ type: 'draftVersion', storyId: 'sim', versionHash, ...about });
    await command({ type: 'publishVersion', versionHash });
    for (let n = 0; n < PLAYED; n += 50) await Promise.all(Array.from({ length: 50 }, (_, i) => play(`r-${n + i}`)));
    await node.stop();
    // Four years pass.
    await database.pool.query('update fabula.log_records set time = time - $1::bigint', [4 * 365 * DAY]);
    node = await opened('api,engine,projector,auditor,signer');
    for (let n = 0; n < 20; n++) await play(`r-new-${n}`);
    await until(current);
  });
  afterAll(async () => {
    await node?.stop();
    await database?.drop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('refuses what cannot be carried out when it is proposed', async () => {
    const before = [{ partition: 0, offset: 512 }];
    const rule = { kind: 'set-retention', purpose: 'playing on' } as const;
    expect(await refusal(propose({ ...rule, retention: 'play', keepDays: null }))).toMatch(/^BAD_INPUT: play tells of readers/);
    expect(await refusal(propose({ ...rule, retention: 'none', keepDays: 5 }))).toMatch(/^BAD_INPUT: there is no retention class none/);
    const prune = { kind: 'prune', retention: 'play', what: 'leaves', before } as const;
    expect(await refusal(propose({ ...prune, retention: 'stories' }))).toMatch(/^BAD_INPUT: stories is kept without an end/);
    expect(await refusal(propose({ ...prune, before: [] }))).toMatch(/^BAD_INPUT: between 1 and 128/);
    const none = [{ partition: 0, offset: 0 }];
    expect(await refusal(propose({ ...prune, what: 'log', before: none }))).toMatch(/^BAD_INPUT: records before offset 0/);
    expect(await refusal(propose({ ...prune, before: [...before, ...before] }))).toMatch(/^BAD_INPUT: each partition/);
    expect(await refusal(propose({ ...prune, before: [{ partition: 9, offset: 1 }] }))).toMatch(/^BAD_INPUT: there is no partition 9/);
  });

  it('reports what expires by the rule that two people set', async () => {
    const of = async (name: string) => (await node.retention.report()).find((one) => one.name === name);
    // Only what is signed can expire, and notes come a moment after their leaves.
    await until(async () => (await of('play'))?.expired.length !== 0);
    expect(await of('play')).toMatchObject({
      keepDays: 1_095,
      setBy: null,
      expired: [{ partition: 0, offset: 512, leaves: 510 }],
      pruned: [],
    });
    const longer = await approved({ kind: 'set-retention', retention: 'play', purpose: 'a study', keepDays: 2_000 });
    await carriedOut(longer);
    expect(await of('play')).toMatchObject({ keepDays: 2_000, purpose: 'a study', setBy: longer, expired: [] });
    const year = await approved({ kind: 'set-retention', retention: 'play', purpose: 'playing on', keepDays: 365 });
    await carriedOut(year);
    expect(await of('play')).toMatchObject({ keepDays: 365, setBy: year, oldest: { partition: 0, index: '2' }, heldBy: [] });
    // Clocks stepped: the first leaf that stays is not the one of the earliest time.
    await node.pool.query('update fabula.audit_leaves set time = time + $1 where log = 0 and leaf_index = 300', [5 * 365 * DAY]);
    expect(await of('play')).toMatchObject({ expired: [{ offset: 256 }] });
    await node.pool.query('update fabula.audit_leaves set time = time - $1 where log = 0 and leaf_index = 300', [5 * 365 * DAY]);
    expect(await of('stories')).toMatchObject({ keepDays: null, oldest: { index: '0' }, expired: [] });
  });

  it('prunes once no hold stands against it, and everything verifies as before', async () => {
    const store = node.audit.store;
    const hold = await node.compliance.service.placeHold(dora, { scope: { kind: 'subject', id: 'r-77' }, matter: 'case 1', until: null });
    const other = await node.compliance.service.placeHold(dora, {
      scope: { kind: 'subject', id: 'r-new-3' },
      matter: 'case 2',
      until: null,
    });
    const heldBy = async () => (await node.retention.report()).find(({ name }) => name === 'play')?.heldBy.map(({ id }) => id);
    expect(await heldBy()).toEqual([hold.id]);
    const narrow = async (kind: 'story' | 'playthrough', target: string) =>
      (await node.compliance.service.placeHold(dora, { scope: { kind, id: target }, matter: 'case 3', until: null })).id;
    const early = playthroughs.get('r-100') ?? '';
    const [another, story, , playthrough] = [
      await narrow('story', 'another'),
      await narrow('story', 'sim'),
      await narrow('playthrough', playthroughs.get('r-new-1') ?? ''),
      await narrow('playthrough', early),
    ];
    expect((await heldBy())?.toSorted()).toEqual([hold.id, story, playthrough].toSorted());
    // Of a playthrough that was parked before it had a row nobody knows whose it is, and of which story.
    const { rows: live } = await node.pool.query<{ n: number }>(`select n from fabula.projection_generations where state = 'live'`);
    const readModels = `projection_${live[0]?.n}`;
    await node.pool.query(`update ${readModels}.playthroughs set id = 'lost' where id = $1`, [early]);
    await node.pool.query(`insert into ${readModels}.parked values ($1, 0, 'x', 'x', 0, 0)`, [`playthrough/${early}`]);
    expect((await heldBy())?.toSorted()).toEqual([hold.id, other.id, another, story, playthrough].toSorted());
    await node.pool.query(`delete from ${readModels}.parked`);
    await node.pool.query(`update ${readModels}.playthroughs set id = $1 where id = 'lost'`, [early]);
    const id = await approved({ kind: 'prune', retention: 'play', what: 'leaves', before: [{ partition: 0, offset: 600 }] });
    expect((await view(id)).blocked).toMatch(
      /^hold h-[0-9a-f]{16} on (subject r-77|story sim|playthrough .*) touches leaves that would go$/,
    );
    expect((await view(id)).stage).toBe('approved');
    const notes = await store.notes('p0', node.logId, 0n, 1_000);
    for (const one of [story, playthrough, hold.id]) await approved({ kind: 'release-hold', hold: one ?? '' });
    await carriedOut(id);
    expect((await view(id)).result).toEqual({ retention: 'play', what: 'leaves', pruned: [{ log: 'p0', below: '512', leaves: 510 }] });
    expect((await store.notes('p0', node.logId, 0n, 1_000)).slice(0, notes.length)).toEqual(notes);
    const [after] = (await node.retention.report()).filter(({ name }) => name === 'play');
    expect(after).toMatchObject({
      expired: [],
      pruned: [{ partition: 0, below: '512', leaves: 510, action: id }],
      oldest: { index: '512' },
    });
    await approved({ kind: 'release-hold', hold: other.id });
    const size = (await store.latestNote('p0', node.logId))?.size ?? 0n;
    await expect(node.audit.proofs.inclusion('p0', 5n, size)).rejects.toThrow(LeavesPruned);
    expect((await node.audit.proofs.inclusion('p0', 1n, size)).leaf.toString()).toContain('StoryVersionPublished');
    const { report, state } = await verified();
    expect([state, report?.findings, report?.pruned]).toEqual([
      'done',
      [],
      [{ log: 'p0', retention: 'play', below: '512', leaves: 510, action: id }],
    ]);
    // Whoever can write to the database could name an action that was approved for what it was not approved for.
    const told = { log: 'p0', retention: 'play', below: 512n, leaves: 510, action: id } as const;
    expect(await node.retention.approved(told)).toBe(true);
    for (const other of [{ retention: 'compliance' }, { below: 768n }, { leaves: 511 }, { log: 'p1' as const }, { action: hold.id }])
      expect([other, await node.retention.approved({ ...told, ...other })]).toEqual([other, false]);
  });

  it('exports what is left, builds it again, starts cold and plays on as before', async () => {
    await until(current);
    const job = await node.audit.requestExport('everything', 'r-cleo', {});
    await node.audit.exporter.idle();
    const file = await node.audit.exporter.file(job.id);
    const bundle = await verifyBundle(createReadStream(file ?? ''), { vkey: await node.audit.keys.trust(), accept: 'part' });
    expect(bundle.findings).toEqual([]);
    expect(bundle.trees.find(({ tree }) => tree === 'p0')).toMatchObject({ from: String(2n * PRUNE_BLOCK) });
    const refused = node.audit.requestExport([{ log: 'p0', from: 0n }], 'r-cleo', {});
    await expect(refused).rejects.toThrow(LeavesPruned);

    const before = await node.audit.store.open('p0', node.logId);
    await node.audit.maintenance.startRebuild();
    await until(async () => node.audit.maintenance.rebuild().state !== 'running');
    expect(node.audit.maintenance.rebuild()).toMatchObject({ state: 'done', error: null });
    expect(await node.audit.store.open('p0', node.logId)).toEqual(before);

    // A feed that was never published begins where verdicts do; nobody answers at that address.
    const options = { pool: node.pool, log: node.log, logId: node.logId, logger, alarm: () => undefined, tellLag: () => undefined };
    const feedConfig = loadConfig({ FABULA_DATA_DIR: dataDir, FABULA_ROLES: 'publisher', KAFKA_BROKERS: '127.0.0.1:1' });
    const feed = await FeedService.open({ ...options, config: feedConfig });
    const begun = (await node.pool.query<{ n: string }>('select next_offset as n from fabula.feed_positions')).rows.map(({ n }) =>
      Number(n),
    );
    await feed.reset('end');
    await feed.reset('start');
    const again = (await node.pool.query<{ n: string }>('select next_offset as n from fabula.feed_positions')).rows.map(({ n }) =>
      Number(n),
    );
    expect([begun, again]).toEqual([[512], [512]]);

    await node.stop();
    node = await opened('api,engine,projector,auditor,signer');
    expect((await play('r-5', commands.get('r-5'))).duplicate).toBe(true);
    expect((await play('r-5')).duplicate).toBe(false);
    await until(current);
    expect((await verified()).report?.findings).toEqual([]);
    const report = await rebuild({ databaseUrl: database.url, log: node.log, clock: systemClock, timers: systemTimers });
    expect(report.parity.kind).toBe('equal');
  });

  describe('of the log itself', () => {
    const pruning = (offset: number): Promise<string> =>
      approved({ kind: 'prune', retention: 'play', what: 'log', before: [{ partition: 0, offset }] });
    const blockedBy = async (id: string): Promise<string | null> => {
      const { blocked } = await view(id);
      await node.compliance.service.refuse(ada, id, 'tried another way').catch(() => node.compliance.service.withdraw(dora, id));
      return blocked;
    };

    it('waits while leaves are still there, records are not expired, or a hold touches them', async () => {
      expect(await blockedBy(await pruning(600))).toMatch(/^partition 0 before offset 600: the audit still begins at offset 512; have the/);
      const kept = await approved({ kind: 'set-retention', retention: 'play', purpose: 'a study', keepDays: 2_000 });
      await carriedOut(kept);
      expect(await blockedBy(await pruning(512))).toMatch(/the record at 511 is not 2000 days old/);
      await carriedOut(await approved({ kind: 'set-retention', retention: 'play', purpose: 'playing on', keepDays: 365 }));
      // Its leaves went, its records did not.
      const hold = await node.compliance.service.placeHold(dora, { scope: { kind: 'subject', id: 'r-77' }, matter: 'case 9', until: null });
      const story = await node.compliance.service.placeHold(dora, { scope: { kind: 'story', id: 'sim' }, matter: 'case 9', until: null });
      const later = await node.compliance.service.placeHold(dora, {
        scope: { kind: 'subject', id: 'r-new-3' },
        matter: 'case 9',
        until: null,
      });
      expect(await blockedBy(await pruning(512))).toMatch(
        /^hold h-[0-9a-f]{16} on (subject r-77|story sim) touches records that would go$/,
      );
      for (const { id } of [hold, story, later]) await approved({ kind: 'release-hold', hold: id });
      expect(await node.log.begin(0)).toBe(0);
    });

    it('that fails before any of its steps has lost nothing, and forgets once all of it is kept, recorded and signed', async () => {
      const { log } = node.retention;
      let failing: string | undefined = 'check';
      const reached: string[] = [];
      log.at = (step) => {
        reached.push(step);
        return step === failing ? Promise.reject(new Error(`killed before ${step}`)) : Promise.resolve();
      };
      const id = await pruning(512);
      await until(async () => (await view(id)).failed !== null);
      expect((await view(id)).failed).toMatchObject({ lastError: 'killed before check' });
      // From here on by hand, so that nothing waits for the next try.
      await node.pool.query('update fabula.compliance_work set next_at = next_at + 3600000 where action = $1', [id]);
      const action = (await view(id)).action as Extract<Action, { kind: 'prune' }>;
      const carryOut = () => node.retention.pruneWork.carryOut(action, new AbortController().signal, () => Promise.resolve());
      for (const step of PRUNE_STEPS) {
        failing = step;
        await expect(carryOut()).rejects.toThrow(`killed before ${step}`);
        const begins = PRUNE_STEPS.indexOf(step) > PRUNE_STEPS.indexOf('forget') ? 512 : 0;
        expect([step, await node.log.begin(0)]).toEqual([step, begins]);
        expect((await play('r-5', commands.get('r-5'))).duplicate).toBe(true);
        expect(await log.check()).toEqual(
          PRUNE_STEPS.indexOf(step) > PRUNE_STEPS.indexOf('switch') ? [{ partition: 0, offset: 512, problem: null }] : [],
        );
        // Broken off, read models may be built anew all the same.
        if (step === 'forget' || step === 'thin') {
          const report = await rebuild({ databaseUrl: database.url, log: node.log, clock: systemClock, timers: systemTimers });
          expect([step, report.parity.kind]).toEqual([step, 'equal']);
        }
      }
      failing = undefined;
      await node.pool.query('update fabula.compliance_work set next_at = 0 where action = $1', [id]);
      await carriedOut(id);
      expect((await view(id)).result).toEqual({ retention: 'play', what: 'log', pruned: [{ partition: 0, offset: 512 }] });
      expect(new Set(reached)).toEqual(new Set(PRUNE_STEPS));
      const [base] = await log.report();
      expect(base).toMatchObject({ partition: 0, begin: 512, base: { offset: 512, action: id } });
      // One record of it, however often it was tried.
      const taken = await node.compliance.reads.basesTaken();
      expect(taken).toMatchObject([{ action: id, partition: 0, offset: 512, digest: base?.base?.digest }]);
    });

    it('leaves a node that starts, plays on, verifies, exports and is built anew from what is left', async () => {
      await node.stop();
      node = await opened('api,engine,projector,auditor,signer');
      expect((await play('r-5', commands.get('r-5'))).duplicate).toBe(true);
      expect((await play('r-9')).duplicate).toBe(false);
      await until(current);
      const { report } = await verified();
      expect(report?.findings).toEqual([]);
      expect(report?.notShown.join()).toMatch(/records before offset 512: those were pruned/);
      const job = await node.audit.requestExport('everything', 'r-cleo', {});
      await node.audit.exporter.idle();
      expect(
        (
          await verifyBundle(createReadStream((await node.audit.exporter.file(job.id)) ?? ''), {
            vkey: await node.audit.keys.trust(),
            accept: 'part',
          })
        ).findings,
      ).toEqual([]);
      await node.audit.maintenance.startRebuild();
      await until(async () => node.audit.maintenance.rebuild().state !== 'running');
      expect(node.audit.maintenance.rebuild()).toMatchObject({ state: 'done', error: null });
      const built = await rebuild({ databaseUrl: database.url, log: node.log, clock: systemClock, timers: systemTimers });
      expect(built.parity.kind).toBe('equal');
    });

    it('names a base that was changed afterwards, and starts on none that is missing', async () => {
      const { rows } = await node.pool.query<{ id: number }>(`select id from fabula.log_bases where state = 'current'`);
      const change = `update log_base_${rows[0]?.id}.playthroughs set reader = 'r-forged' where reader = 'r-6'`;
      await node.pool.query(change);
      await until(current);
      expect((await verified()).report?.findings).toMatchObject([{ kind: 'BASE', where: { tree: 'p0', offset: '512' } }]);
      await node.pool.query(`update log_base_${rows[0]?.id}.playthroughs set reader = 'r-6' where reader = 'r-forged'`);
      expect((await verified()).report?.findings).toEqual([]);
      await node.stop();
      await database.pool.query('alter table fabula.log_bases rename to log_bases_elsewhere');
      await database.pool.query('create table fabula.log_bases as select * from fabula.log_bases_elsewhere where false');
      await expect(opened('api,engine,projector,auditor,signer')).rejects.toThrow(/begins at offset 512, but nothing of it was pruned/);
      await database.pool.query('drop table fabula.log_bases');
      await database.pool.query('alter table fabula.log_bases_elsewhere rename to log_bases');
      node = await opened('api,engine,projector,auditor,signer');
      expect((await play('r-10')).duplicate).toBe(false);
    });
  });
});
