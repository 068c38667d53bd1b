import { rm } from 'node:fs/promises';
import type { Action, ActionKind, ComplianceState } from '#lib/compliance';
import { createLogger, loadConfig, systemClock, systemTimers } from '#lib/platform';
import { Eraser, newPseudonym, PostgresPseudonyms, PostgresSubjectKeys, type Sealed } from '#lib/privacy';
import { everyAwait, type Process } from '../../../../test/support/every-await.js';
import { asking } from '../../../../test/support/node-play.js';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { isLong } from '../../../../test/support/requirement.js';
import { temporaryDataDir } from '../../../../test/support/server-process.js';
import { verified } from '../../../../test/support/verification.js';
import { FabulaNode } from '../node.js';
import type { ActionWork } from './action-work.js';
import { ComplianceExecutor } from './compliance-executor.js';
import { hindrance } from './hindrances.js';

const NEVER = new AbortController().signal;
const ISSUER = 'https://issuer.test';

interface World {
  readonly sub: string;
  readonly subject: string;
  readonly sealed: Sealed;
  readonly action: string;
}

describe('a process that carries out an approved erasure, killed at each call that it awaits', () => {
  let database: TestDatabase;
  let dataDir: string;
  let node: FabulaNode;
  beforeAll(async () => {
    database = await createTestDatabase();
    dataDir = await temporaryDataDir();
    // Not the auditor: who carries out is made, and killed, here.
    const config = loadConfig({ FABULA_DATA_DIR: dataDir, FABULA_ROLES: 'api,engine,projector', FABULA_PARTITIONS: '1' });
    node = await FabulaNode.open(config, createLogger({ level: 'silent' }), database.url, 'http://127.0.0.1:1');
    await node.start();
  });
  afterAll(async () => {
    await node?.stop();
    await database?.drop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const table = (process?: Process): PostgresPseudonyms =>
    new PostgresPseudonyms(process?.pool(node.pool) ?? node.pool, () => node.privacy.keyring.open());

  /** One look of a process at what is open: its statements, and what it asks of read models and of the log, are its steps. */
  async function round(alarms: string[], process?: Process): Promise<void> {
    const pool = process?.pool(node.pool) ?? node.pool;
    const own = <T extends object>(name: string, port: T): T => process?.port(name, port) ?? port;
    const reads = own('reads', node.compliance.reads);
    const service = own('service', node.compliance.service);
    const eraser = new Eraser(new PostgresSubjectKeys(pool, node.privacy.keyring), table(process), () => undefined);
    const erase: ActionWork<'erase'> = { kind: 'erase', carryOut: async ({ subject }) => ({ ...(await eraser.erase(subject)) }) };
    const works = new Map<ActionKind, ActionWork>([['erase', erase as unknown as ActionWork]]);
    const executor = new ComplianceExecutor({
      ...{ pool, reads, service, works, clock: systemClock, timers: systemTimers, logger: createLogger({ level: 'silent' }) },
      hindrance: (action: Action, state: ComplianceState) =>
        hindrance({ reads, works, now: systemClock.now, caughtUp: async () => true }, action, state),
      clockProblem: async () => null,
      alarm: (message) => alarms.push(message),
      backoffMs: [0, 0],
    });
    await executor.round(NEVER);
  }

  async function typesOf(action: string): Promise<readonly string[]> {
    const types: string[] = [];
    for (let after: string | undefined; ;) {
      const { value } = await node.compliance.reads.events({ first: 100, after });
      types.push(...value.rows.filter(({ subject }) => subject === action).map(({ type }) => type));
      if (!value.hasNextPage) return types;
      after = value.cursors.at(-1);
    }
  }

  it('is followed by one that ends it: forgotten, recorded once, with the same result, and nothing is left to try', async () => {
    const figures = await verified('5.4 kills of who carries out an erasure', async () => {
      let count = 0;
      const alarms: string[] = [];
      const stageOf = async (action: string): Promise<string | undefined> => (await node.compliance.reads.action(action)).value?.stage;
      const steps = await everyAwait<World>(
        {
          begin: async () => {
            const sub = `mortal ${count++}`;
            const subject = await table().findOrAdd(ISSUER, sub, newPseudonym());
            const { sealed } = await node.privacy.sealer.seal(subject, 'a name');
            const asked = { kind: 'erase', subject, legalBasis: 'GDPR 17(1)(b)' } as const;
            const { id } = await node.compliance.service.propose(asking('dora', 'dpo'), { asked, reason: 'asked for it', minutes: 60 });
            await node.compliance.service.approve(asking('ada', 'admin'), id);
            return { sub, subject, sealed, action: id };
          },
          run: (_, process) => round([], process),
          inspect: async ({ sub, subject, sealed, action }) => {
            const erased = (await table().find(ISSUER, sub)) === null || (await node.privacy.sealer.unseal(subject, sealed)) === null;
            // Nothing is done that was not begun, nothing is called done that was not.
            if (erased) expect(await typesOf(action)).toContain('ActionBegun');
            if ((await stageOf(action)) === 'carried-out') expect(erased).toBe(true);
          },
          recover: () => round(alarms),
          verify: async ({ sub, subject, sealed, action }) => {
            expect(await stageOf(action)).toBe('carried-out');
            expect(await typesOf(action)).toEqual(['ActionProposed', 'ActionApproved', 'ActionBegun', 'ActionCarriedOut']);
            const { value } = await node.compliance.reads.action(action);
            const [view] = await node.compliance.views(value === undefined ? [] : [value]);
            expect(view?.result).toEqual({ subject, keysDestroyed: [sealed.kid], linksCut: 1 });
            expect(await node.privacy.sealer.unseal(subject, sealed)).toBeNull();
            expect(await table().find(ISSUER, sub)).toBeNull();
            // Another look has nothing to do any more.
            await round(alarms);
            expect((await node.pool.query('select 1 from fabula.compliance_work where action = $1', [action])).rowCount).toBe(0);
          },
        },
        isLong ? 1 : 3,
      );
      expect(alarms).toEqual([]);
      return { steps };
    });
    expect(figures.steps).toBeGreaterThan(30);
  });
});
