import { isLong } from '../support/requirement.js';
import { progress, verified } from '../support/verification.js';
import { Arena } from './arena.js';
import { countsOf, type Crowd, crowdOf } from './crowd.js';
import { checkDerived, settle } from './derived-checks.js';
import { checkHistory } from './history-checker.js';
import { History } from './history.js';
import { onEachLog } from './on-each-log.js';
import { cutOffs, notEnough, turnsAfterLastFault } from './outcome-table.js';

const READERS = 16;
const DEVICES = 48;
const FAULTS: readonly ('server' | 'postgres')[] = isLong
  ? ['server', 'postgres', 'server', 'postgres', 'server', 'postgres', 'server', 'postgres', 'server', 'postgres', 'server', 'postgres']
  : ['server', 'postgres', 'server'];
const TURNS_BETWEEN = isLong ? 450 : 30;
const TURNS_AFTER = isLong ? 450 : 40;
const ROW = '6 kills';

/** Mostly turns: what is to be lost must be taken first. */
const HABITS = { choose: 90, doubled: 3, stale: 1, replay: 4, reuse: 1, rewind: 3, fork: 2, checkpoint: 2, look: 4 };
const OUTCOMES = [
  'accepted',
  'duplicate',
  'unknown',
  'unknown that had taken effect',
  'unknown that had not taken effect',
  'refused TURN_STALE',
];

onEachLog(
  'SIGKILL of servers and of Postgres under load',
  ({ log, row }) => {
    const servers = log === 'kafka' ? 3 : 1;
    let arena: Arena;
    let crowd: Crowd | undefined;
    beforeAll(async () => {
      arena = await Arena.open({ servers, log, ownPostgres: true });
    }, 180_000);
    afterAll(async () => {
      await crowd?.abandon();
      await arena?.close();
    }, 60_000);

    it(
      'loses no acknowledged turn and doubles none, and read models and audit trees are those of a fold from 0',
      async () => {
        const history = new History();
        const figures = await verified(row(ROW), async () => {
          crowd = await crowdOf(arena, { readers: READERS, devices: DEVICES, seed: 6, history, habits: HABITS });
          await crowd.start();
          const report = progress(row(ROW));
          const backAfter: number[] = [];
          let seen = 0;
          for (const [i, fault] of FAULTS.entries()) {
            await crowd.turns(TURNS_BETWEEN, 300_000);
            if (fault === 'server') {
              const victim = i % servers;
              await arena.log.appendUnderWay();
              history.fault('server');
              await arena.killServer(victim);
              await arena.startServer(victim);
            } else if (await arena.killPostgres(() => history.fault('postgres'))) seen++;
            await crowd.turns(1, 120_000);
            backAfter.push(Math.round(performance.now() - (history.faults.at(-1)?.at ?? 0)));
            report(i + 1, FAULTS.length, 'faults');
          }
          await crowd.turns(TURNS_AFTER, 300_000);
          await crowd.stop();
          await settle(arena);
          const { truth, wrong, records, leaves, notes, rows } = await checkDerived(arena);
          const cut = cutOffs(history, truth);
          const after = turnsAfterLastFault(history, truth);
          const storedUnanswered = cut.reduce((sum, one) => sum + one.storedUnanswered, 0);
          // Appended again because nobody knew: the log itself shows that an append was cut off after it was stored.
          const appendedTwice = truth.verdicts.duplicate;
          const violations = [
            ...wrong,
            ...checkHistory(history, truth.playthroughs),
            ...notEnough(history, { turns: 5_000, outcomes: OUTCOMES }),
          ];
          if (history.of('unknown INTERNAL') > 0) violations.push(`${history.of('unknown INTERNAL')} answers were INTERNAL`);
          if (cut.every(({ inFlight }) => inFlight === 0)) violations.push('no fault met a command in flight');
          if (isLong && seen === 0 && storedUnanswered + appendedTwice === 0) violations.push('no fault met an append in flight');
          if (after < (isLong ? 100 : 20)) violations.push(`only ${after} turns after the last fault`);
          expect(violations).toEqual([]);
          return {
            ...{
              serverKills: history.of('fault server'),
              postgresKills: history.of('fault postgres'),
              servers,
              clients: DEVICES,
              playthroughs: READERS,
            },
            ...{
              attempts: history.attempts.length,
              acceptedTurns: history.acceptedTurns,
              lost: 0,
              doubled: 0,
              violations: violations.length,
            },
            ...{ records, readModelRows: rows, leaves, notes, turnsAfterLastFault: after, appendSeenUnderWayAtPostgresKills: seen },
            ...{ storedUnanswered, appendedTwice, backAfterMs: backAfter.map(String) },
            faults: cut.map(
              ({ what, inFlight, storedUnanswered: stored, notStored }) =>
                `${what}: ${inFlight} cut off, ${stored} stored, ${notStored} not`,
            ),
            outcomes: countsOf(history),
          };
        });
        expect(figures).toMatchObject({ lost: 0, doubled: 0, violations: 0 });
      },
      isLong ? 3_600_000 : 240_000,
    );
  },
  { one: 0, of: 3 },
);
