import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { Json } from '#lib/canonical';
import type { Action, ActionKind, EraseAction } from '#lib/compliance';
import { createLogger, FabulaError, loadConfig, systemClock, systemTimers, type Clock } from '#lib/platform';
import { rebuild } from '#lib/projections';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { asking, publishSimulated, startSimulated, until } from '../../../../test/support/node-play.js';
import { temporaryDataDir } from '../../../../test/support/server-process.js';
import { FabulaNode } from '../node.js';
import type { ActionWork, Proceed } from './action-work.js';
import { eraseWork } from '../privacy/privacy-works.js';
import { ComplianceExecutor, type ExecutorOptions } from './compliance-executor.js';
import { ComplianceService } from './compliance-service.js';
import { hindrance } from './hindrances.js';

const HOUR = 3_600_000;
/** A pseudonym that can be told from others. */
const reader = (name: string): string => `r-${name.padEnd(26, 'a')}`;

describe('compliance of one node', () => {
  let database: TestDatabase;
  let dataDir: string;
  let node: FabulaNode;
  const logger = createLogger({ level: 'silent' });

  beforeAll(async () => {
    database = await createTestDatabase();
    dataDir = await temporaryDataDir();
    // Not the auditor: what carries out is started by each test.
    const config = loadConfig({ FABULA_DATA_DIR: dataDir, FABULA_ROLES: 'api,engine,projector', FABULA_PARTITIONS: '2' });
    node = await FabulaNode.open(config, logger, database.url, 'http://127.0.0.1:1');
    await node.start();
    for (const name of 'anna twice other done bert ea eb ec ed carl fritz jan lena'.split(' ')) await link(reader(name));
  });
  afterAll(async () => {
    await node?.stop();
    await database?.drop();
    await rm(dataDir, { recursive: true, force: true });
  });

  /** Somebody is behind that pseudonym. */
  const link = (pseudonym: string) =>
    node.pool.query(`insert into fabula_keys.subjects (blind_index, pseudonym) values (sha256(convert_to($1, 'UTF8')), $1)`, [pseudonym]);
  const dora = asking('dora', 'dpo');
  const ada = asking('ada', 'admin');
  const olaf = asking('olaf', 'operator');
  const code = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'done',
      (error: unknown) => (error instanceof FabulaError ? error.code : String(error)),
    );
  const eraseOf = (subject: string) =>
    ({ asked: { kind: 'erase', subject, legalBasis: 'GDPR 17(1)(b)' }, reason: 'asked for it', minutes: 60 }) as const;
  const approvedErasure = async (subject: string): Promise<string> => {
    const { id } = await node.compliance.service.propose(dora, eraseOf(subject));
    await node.compliance.service.approve(ada, id);
    return id;
  };
  const stage = async (id: string): Promise<string | undefined> => (await node.compliance.reads.action(id)).value?.stage;
  const typesOf = async (id: string): Promise<readonly string[]> => {
    const types: string[] = [];
    let after: string | undefined;
    for (;;) {
      const { value } = await node.compliance.reads.events({ first: 100, after });
      types.push(...value.rows.filter(({ subject }) => subject === id).map(({ type }) => type));
      if (!value.hasNextPage) return types;
      after = value.cursors.at(-1);
    }
  };

  /** Erases by writing down whom: idempotent, as the port asks. */
  class Erasing implements ActionWork<'erase'> {
    readonly kind = 'erase';
    readonly erased = new Set<string>();
    calls = 0;
    failing = 0;
    async carryOut({ subject }: EraseAction, _: AbortSignal, proceed: Proceed): Promise<Json> {
      this.calls++;
      if (this.failing-- > 0) throw new Error('the key store is away');
      await proceed();
      this.erased.add(subject);
      return { keys: 1 };
    }
  }

  const executorWith = (work: Erasing, more: Partial<ExecutorOptions> = {}): { executor: ComplianceExecutor; alarms: string[] } => {
    const alarms: string[] = [];
    const works = new Map<ActionKind, ActionWork>([['erase', work as unknown as ActionWork]]);
    const { reads, service } = node.compliance;
    const judged = (action: Action, state: Parameters<typeof hindrance>[2]) =>
      hindrance({ reads, works, now: systemClock.now, caughtUp: async () => true }, action, state);
    const executor = new ComplianceExecutor({
      pool: node.pool,
      reads,
      service,
      works,
      hindrance: judged,
      clock: systemClock,
      clockProblem: async () => null,
      timers: systemTimers,
      logger,
      alarm: (message) => alarms.push(message),
      everyMs: 20,
      backoffMs: [10, 40],
      ...more,
    });
    return { executor, alarms };
  };

  /** A playthrough of that reader; answers its id. */
  async function plays(reader: string): Promise<string> {
    const { id, partition, offset } = await startSimulated(node, { reader, versionHash: await publishSimulated(node) });
    await node.waiter.waitFor({ logId: node.logId, partition, offset });
    return id;
  }

  it('shows what was proposed, approved and carried out, with who did it and what came of it', async () => {
    const work = new Erasing();
    const { executor, alarms } = executorWith(work);
    const id = await approvedErasure(reader('anna'));
    expect(await stage(id)).toBe('approved');
    expect(await code(node.compliance.service.approve(dora, id))).toBe('NEEDS_ANOTHER_PERSON');
    expect(await code(node.compliance.service.approve(olaf, id))).toBe('FORBIDDEN');
    executor.start();
    await until(async () => (await stage(id)) === 'carried-out');
    await executor.stop();
    const { value } = await node.compliance.reads.action(id);
    const [view] = await node.compliance.views(value === undefined ? [] : [value]);
    expect(view).toMatchObject({
      kind: 'erase',
      proposedBy: 'r-dora',
      proposedAs: 'dpo',
      decidedBy: 'r-ada',
      decidedAs: 'admin',
      result: { keys: 1 },
      action: { subject: reader('anna') },
      blocked: null,
    });
    expect([[...work.erased], work.calls, alarms]).toEqual([[reader('anna')], 1, []]);
  });

  it('takes a repeated command once, and refuses the same id for something else', async () => {
    const sent = { ...dora, commandId: randomUUID() };
    const first = await node.compliance.service.propose(sent, eraseOf(reader('twice')));
    const again = await node.compliance.service.propose(sent, eraseOf(reader('twice')));
    expect(again).toEqual({ ...first, duplicate: true });
    expect(await code(node.compliance.service.propose(sent, eraseOf(reader('other'))))).toBe('COMMAND_REUSED');
    await node.compliance.service.withdraw(dora, first.id);
  });

  it('answers a repeated proposal as it was taken, although what it asked for could not be proposed any more', async () => {
    let why: string | null = null;
    const { waiter, logId, compliance } = node;
    const service = new ComplianceService({
      logId,
      waiter,
      reads: compliance.reads,
      now: systemClock.now,
      alarm: () => undefined,
      refusal: async () => why,
      forgotten: async () => false,
      execute: (request) => node.execute(request),
    });
    const sent = { ...dora, commandId: randomUUID() };
    const first = await service.propose(sent, eraseOf(reader('done')));
    why = 'it is done already';
    expect(await service.propose(sent, eraseOf(reader('done')))).toEqual({ ...first, duplicate: true });
    expect(await code(service.propose(sent, eraseOf(reader('other'))))).toBe('COMMAND_REUSED');
    expect(await code(service.propose(dora, eraseOf(reader('done'))))).toBe('BAD_INPUT');
    await service.withdraw(dora, first.id);
  });

  it('carries out once what a process did that died before it could record it, and takes nothing from it when it wakes up late', async () => {
    const work = new Erasing();
    let wake = (): void => undefined;
    let reached = (): void => undefined;
    const between = new Promise<void>((resolve) => (reached = resolve));
    const asleep = new Promise<void>((resolve) => (wake = resolve));
    const { service } = node.compliance;
    // As a process that is stopped dead between effect and record, and whose session the database gives up.
    const dying = executorWith(work, {
      service: {
        bySystem: async (given, causationId) => {
          if (given.type !== 'carriedOut') return service.bySystem(given, causationId);
          reached();
          await asleep;
          return service.bySystem(given, causationId);
        },
      },
    });
    const id = await approvedErasure(reader('bert'));
    dying.executor.start();
    await between;
    expect([[...work.erased], await stage(id)]).toEqual([[reader('bert')], 'begun']);
    const next = executorWith(work);
    next.executor.start();
    await node.pool.query(`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()
      and (classid::bigint << 32 | objid::bigint) = 4701231823412331897 and database = (select oid from pg_database where datname = current_database())`);
    await until(async () => (await stage(id)) === 'carried-out');
    wake();
    await Promise.all([dying.executor.stop(), next.executor.stop()]);
    expect(await typesOf(id)).toEqual(['ActionProposed', 'ActionApproved', 'ActionBegun', 'ActionCarriedOut']);
    expect([[...work.erased], work.calls]).toEqual([[reader('bert')], 2]);
  });

  it('lets one process at a time carry out', async () => {
    const work = new Erasing();
    let atOnce = 0;
    let most = 0;
    const carryOut = work.carryOut.bind(work);
    work.carryOut = async (...given) => {
      most = Math.max(most, ++atOnce);
      await new Promise((resolve) => setTimeout(resolve, 5));
      atOnce--;
      return carryOut(...given);
    };
    const executors = [1, 2, 3].map(() => executorWith(work).executor);
    const ids = await Promise.all(['ea', 'eb', 'ec', 'ed'].map(reader).map(approvedErasure));
    executors.forEach((executor) => executor.start());
    await until(async () => (await Promise.all(ids.map(stage))).every((one) => one === 'carried-out'));
    await Promise.all(executors.map((executor) => executor.stop()));
    expect([most, work.calls]).toEqual([1, 4]);
  });

  it('tries again what fails, more and more rarely, says so, and shows why', async () => {
    const work = new Erasing();
    work.failing = 3;
    const { executor, alarms } = executorWith(work, { backoffMs: [1, 2] });
    const stuck = executorWith(work, { backoffMs: [HOUR, HOUR] });
    const id = await approvedErasure(reader('carl'));
    stuck.executor.start();
    await until(async () => stuck.alarms.length === 1);
    await stuck.executor.stop();
    const { value } = await node.compliance.reads.action(id);
    const [view] = await node.compliance.views(value === undefined ? [] : [value]);
    expect(view).toMatchObject({ stage: 'begun', failed: { attempts: 1, lastError: 'the key store is away' } });
    expect((view?.failed?.nextAt ?? 0) - (view?.failed?.lastAt ?? 0)).toBe(HOUR);
    // Within its pause it is left alone.
    await executor.round(new AbortController().signal);
    expect(alarms).toEqual([]);
    await node.pool.query('update fabula.compliance_work set next_at = 0 where action = $1', [id]);
    executor.start();
    await until(async () => (await stage(id)) === 'carried-out');
    await executor.stop();
    expect(alarms.map((one) => one.replace(id, 'a'))).toEqual([
      'action a (erase) could not be carried out, try 2: the key store is away',
      'action a (erase) could not be carried out, try 3: the key store is away',
    ]);
    expect((await node.pool.query('select 1 from fabula.compliance_work')).rowCount).toBe(0);
  });

  it('leaves an approved erasure alone while a hold on a story or a playthrough of that reader stands, and says which', async () => {
    const work = new Erasing();
    const { executor } = executorWith(work);
    const playthrough = await plays(reader('dave'));
    const id = await approvedErasure(reader('dave'));
    const other = await node.compliance.service.placeHold(dora, { scope: { kind: 'story', id: 'another' }, matter: 'case 1', until: null });
    const place = await node.compliance.service.placeHold(dora, {
      scope: { kind: 'playthrough', id: playthrough },
      matter: 'case 2',
      until: null,
    });
    const story = await node.compliance.service.placeHold(dora, { scope: { kind: 'story', id: 'sim' }, matter: 'case 3', until: null });
    const { signal } = new AbortController();
    const blocked = async (): Promise<string | null | undefined> => {
      const { value } = await node.compliance.reads.action(id);
      return (await node.compliance.views(value === undefined ? [] : [value]))[0]?.blocked;
    };
    const release = async (hold: string): Promise<void> => {
      const released = await node.compliance.service.propose(dora, {
        asked: { kind: 'release-hold', hold },
        reason: 'it is settled',
        minutes: 60,
      });
      await node.compliance.service.approve(asking('cleo', 'compliance'), released.id);
    };
    await executor.round(signal);
    expect([await stage(id), work.calls]).toEqual(['approved', 0]);
    expect(await blocked()).toMatch(/^hold h-[0-9a-f]{16} on (playthrough|story) .* touches this subject$/);
    await release(place.id);
    await executor.round(signal);
    expect([await stage(id), await blocked()]).toEqual(['approved', `hold ${story.id} on story sim touches this subject`]);
    await release(story.id);
    // Of a playthrough that was parked before it had a row nobody knows whose it is, and of which story.
    const { rows } = await node.pool.query<{ schema: string }>(
      `select 'projection_' || n as schema from fabula.projection_generations where state = 'live'`,
    );
    const schema = String(rows[0]?.schema);
    await node.pool.query(`insert into ${schema}.parked values ('playthrough/lost', 0, 'x', 'x', 0, 0)`);
    await executor.round(signal);
    expect([await stage(id), await blocked()]).toEqual(['approved', `hold ${other.id} on story another touches this subject`]);
    await node.pool.query(`delete from ${schema}.parked where stream = 'playthrough/lost'`);
    await executor.round(signal);
    expect([await stage(id), [...work.erased]]).toEqual(['carried-out', [reader('dave')]]);
    await release(other.id);
    expect((await node.compliance.reads.holds({ first: 10, active: true })).value.rows).toEqual([]);
  });

  it('judges holds anew when one is placed between judging and beginning', async () => {
    const work = new Erasing();
    const playthrough = await plays(reader('emil'));
    const id = await approvedErasure(reader('emil'));
    let placed = '';
    const { executor } = executorWith(work, {
      hindrance: async () => {
        if (placed === '')
          placed = (
            await node.compliance.service.placeHold(dora, {
              scope: { kind: 'playthrough', id: playthrough },
              matter: 'case 4',
              until: null,
            })
          ).id;
        return null;
      },
    });
    await executor.round(new AbortController().signal);
    expect([await stage(id), work.calls]).toEqual(['approved', 0]);
    await executorWith(work).executor.round(new AbortController().signal);
    expect([await stage(id), work.calls]).toEqual(['approved', 0]);
    await node.compliance.service.refuse(ada, id, 'held too long');
    const released = await node.compliance.service.propose(dora, {
      asked: { kind: 'release-hold', hold: placed },
      reason: 'it is settled',
      minutes: 60,
    });
    await node.compliance.service.approve(ada, released.id);
  });

  it('ends proposals and holds whose time is over, and none before, whatever its clock says', async () => {
    const { signal } = new AbortController();
    const { id } = await node.compliance.service.propose(dora, eraseOf(reader('fritz')));
    const hold = await node.compliance.service.placeHold(dora, {
      scope: { kind: 'subject', id: 'r-gerd' },
      matter: 'case 5',
      until: Date.now() + 300,
    });
    const ahead: Clock = { now: () => Date.now() + 2 * HOUR };
    await executorWith(new Erasing(), { clock: ahead }).executor.round(signal);
    expect(await stage(id)).toBe('proposed');
    expect((await node.compliance.reads.holds({ first: 10, active: true })).value.rows).toHaveLength(1);
    const { executor } = executorWith(new Erasing());
    executor.start();
    await until(async () => (await node.compliance.reads.holds({ first: 10, active: true })).value.rows.length === 0);
    await executor.stop();
    expect(await typesOf(hold.id)).toEqual(['HoldPlaced', 'HoldReleased']);
    await node.compliance.service.withdraw(dora, id);
    expect(await stage(id)).toBe('withdrawn');
  });

  it('takes, ends and carries out nothing while its clock and the database’s are apart, says which is ahead, and goes on when they agree', async () => {
    const { compliance } = node;
    const hold = await compliance.service.placeHold(dora, {
      scope: { kind: 'subject', id: reader('hilde') },
      matter: 'case 6',
      until: Date.now() + 30 * 24 * HOUR,
    });
    const anna = await plays(reader('ida'));
    const held = await compliance.service.placeHold(dora, {
      scope: { kind: 'playthrough', id: anna },
      matter: 'case 7',
      until: Date.now() + 30 * 24 * HOUR,
    });
    const id = await approvedErasure(reader('ida'));
    const work = new Erasing();
    let apart = 365 * 24 * HOUR;
    const clock: Clock = { now: () => Date.now() + apart };
    const { executor } = executorWith(work, { clock, clockProblem: () => compliance.clocks.look() });
    const active = async () => (await compliance.reads.holds({ first: 10, active: true })).value.rows.map((row) => row.id);
    const alarms = () =>
      node.metrics.registry.getSingleMetricAsString('fabula_alarms_total').then((text) => Number(/ (\d+)\n?$/.exec(text)?.[1]));
    const before = await alarms();
    // Of this process's clock only what is compared: timers of other tests shall not wait for a year.
    Object.assign(compliance.clocks, { clock });
    try {
      for (let n = 0; n < 3; n++) await executor.round(new AbortController().signal);
      expect(node.notes()).toEqual({
        clock: expect.stringMatching(/^the clock of this process is 315\d{5} s ahead of the database's/) as string,
      });
      expect((await alarms()) - before).toBe(1);
      expect(await code(compliance.service.propose(dora, eraseOf(reader('jan'))))).toBe('CLOCK_WRONG');
      expect(await code(compliance.service.breakTheGlass(olaf, { reason: 'an outage', minutes: 5 }))).toBe('CLOCK_WRONG');
      expect(await code(compliance.service.bySystem({ type: 'expire', id: hold.id }, hold.id))).toBe('CLOCK_WRONG');
      // What another process sends is decided here too.
      const sent = { stream: 'compliance/main', commandId: 'c:x', digestInput: {}, command: { type: 'expire', id: hold.id } } as const;
      const forwarded = { ...sent, actor: { id: 'compliance', role: 'system' }, correlationId: 'c', causationId: null } as const;
      expect(await code(node.executeForwarded(forwarded))).toBe('CLOCK_WRONG');
      apart = -2 * 60_000;
      expect(await compliance.clocks.look()).toMatch(/120 s behind the database's/);
      expect(await code(compliance.service.closeGlass(olaf, 'g-0123456789abcdef'))).toBe('CLOCK_WRONG');
      // Readers play on.
      await plays(reader('karl'));
    } finally {
      apart = 0;
    }
    expect([await active(), await stage(id), work.calls]).toEqual([[held.id, hold.id], 'approved', 0]);
    await executor.round(new AbortController().signal);
    expect([await node.databaseProblem(), node.notes(), await stage(id)]).toEqual([{}, {}, 'approved']);
    await compliance.service.withdraw(dora, id);
    for (const one of await active()) {
      const asked = { kind: 'release-hold', hold: one } as const;
      const released = await compliance.service.propose(dora, { asked, reason: 'it is settled', minutes: 60 });
      await compliance.service.approve(ada, released.id);
    }
  });

  it('stops an action that had begun, and failed, for a hold that came meanwhile, and ends it when that is released', async () => {
    const work = new Erasing();
    work.failing = 1;
    const { executor, alarms } = executorWith(work, { backoffMs: [0, 0] });
    const { signal } = new AbortController();
    const id = await approvedErasure(reader('lena'));
    await executor.round(signal);
    expect([await stage(id), alarms.length]).toEqual(['begun', 1]);
    const { id: hold } = await node.compliance.service.placeHold(dora, {
      scope: { kind: 'subject', id: reader('lena') },
      matter: 'case 8',
      until: null,
    });
    for (let n = 0; n < 2; n++) await executor.round(signal);
    expect([await stage(id), alarms.length, work.calls, [...work.erased]]).toEqual(['begun', 1, 3, []]);
    const asked = { kind: 'release-hold', hold } as const;
    const released = await node.compliance.service.propose(dora, { asked, reason: 'it is settled', minutes: 60 });
    await node.compliance.service.approve(ada, released.id);
    await executor.round(signal);
    expect([await stage(id), [...work.erased]]).toEqual(['carried-out', [reader('lena')]]);
  });

  it('has nobody forgotten whom nobody knows, and who was forgotten again with the same result', async () => {
    const { service } = node.compliance;
    const unlink = (name: string) => node.pool.query('delete from fabula_keys.subjects where pseudonym = $1', [reader(name)]);
    expect(await code(service.propose(dora, eraseOf(reader('mistyped'))))).toBe('SUBJECT_NOT_FOUND');
    await link(reader('mia'));
    const { id } = await service.propose(dora, eraseOf(reader('mia')));
    await unlink('mia');
    expect(await code(service.approve(ada, id))).toBe('SUBJECT_NOT_FOUND');
    await service.withdraw(dora, id);
    // A playthrough is enough: its link may have been lost with the keys.
    await plays(reader('nora'));
    const first = eraseWork(node.privacy, (one) => node.compliance.reads.plays(one));
    const erase = (subject: string) =>
      first.carryOut({ id: 'a', kind: 'erase', subject, legalBasis: 'x y z' }, new AbortController().signal, async () => undefined);
    await service.withdraw(dora, (await service.propose(dora, eraseOf(reader('nora')))).id);
    await link(reader('olga'));
    const { sealed } = await node.privacy.sealer.seal(reader('olga'), 'a name');
    const result = { subject: reader('olga'), keysDestroyed: [sealed.kid], linksCut: 1 };
    expect(await erase(reader('olga'))).toEqual(result);
    await service.withdraw(dora, (await service.propose(dora, eraseOf(reader('olga')))).id);
    expect(await erase(reader('olga'))).toEqual(result);
  });

  it('takes nothing from who was forgotten, although this process has not heard of it', async () => {
    const { service } = node.compliance;
    await node.pool.query(
      `insert into fabula_keys.forgotten (seq, subject, links) select coalesce(max(seq), 0) + 1, 'r-paul', 1 from fabula_keys.forgotten`,
    );
    const { id } = await service.propose(dora, eraseOf(reader('jan')));
    const paul = asking('paul', 'dpo', 'admin');
    for (const asked of [service.approve(paul, id), service.propose(paul, eraseOf(reader('fritz'))), service.refuse(paul, id, 'not yet')])
      expect(await code(asked)).toBe('UNAUTHENTICATED');
    expect(await stage(id)).toBe('proposed');
    await service.withdraw(dora, id);
  });

  it('opens a broken glass for its caller alone, until it is closed, with an alarm', async () => {
    const { breakGlass, service } = node.compliance;
    expect(await breakGlass.open('r-olaf', Date.now())).toBeUndefined();
    const opened = await service.breakTheGlass(olaf, { reason: 'an outage, #815', minutes: 5 });
    expect(await breakGlass.open('r-olaf', Date.now())).toMatchObject({ id: opened.id, correlationId: olaf.origin.correlationId });
    expect(await breakGlass.open('r-olaf', opened.until)).toBeUndefined();
    expect(await breakGlass.open('r-ada', Date.now())).toBeUndefined();
    expect(await node.metrics.registry.metrics()).toMatch(/fabula_break_glass_open 1[\s\S]*/);
    expect(await code(service.breakTheGlass(olaf, { reason: 'once more', minutes: 5 }))).toBe('CONFLICT');
    expect(await code(service.closeGlass(asking('other', 'operator'), opened.id))).toBe('FORBIDDEN');
    await service.closeGlass(dora, opened.id);
    expect(await breakGlass.open('r-olaf', Date.now())).toBeUndefined();
    expect(await node.metrics.registry.metrics()).toMatch(/fabula_alarms_total [1-9]/);
  });

  it('has read models that a rebuild makes again, row for row', async () => {
    const all = () => node.compliance.reads.events({ first: 100 });
    const before = await all();
    expect(before.value.rows.length).toBeGreaterThan(20);
    const report = await rebuild({ databaseUrl: database.url, log: node.log, clock: systemClock, timers: systemTimers });
    expect(report.parity.kind).toBe('equal');
    expect((await all()).value.rows).toEqual(before.value.rows);
  });
});
