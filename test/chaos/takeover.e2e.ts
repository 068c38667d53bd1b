import { isLong } from '../support/requirement.js';
import { progress, verified } from '../support/verification.js';
import { Arena, until } from './arena.js';
import { countsOf, type Crowd, crowdOf, pause } from './crowd.js';
import { checkDerived, settle } from './derived-checks.js';
import { checkHistory } from './history-checker.js';
import { History } from './history.js';
import { onEachLog } from './on-each-log.js';
import { cutOffs, notEnough, turnsAfterLastFault } from './outcome-table.js';

const READERS = 16;
const DEVICES = 32;
const PARTITIONS = 4;
const FAULTS: readonly ('kill' | 'freeze')[] = isLong ? ['kill', 'freeze', 'kill', 'freeze', 'kill', 'freeze'] : ['kill', 'freeze'];
const TURNS_BETWEEN = isLong ? 700 : 40;
/** A silent owner's lease is 5 s, its membership of the group 6 s: it comes back as one that does not know that it lost everything. */
const FROZEN_MS = 9_000;
const ROW = '5b takeover';

const HABITS = { choose: 90, doubled: 3, stale: 1, replay: 4, reuse: 1, rewind: 3, fork: 1, checkpoint: 1, look: 4 };

onEachLog(
  'When the owner of partitions falls silent',
  ({ log, row }) => {
    const servers = log === 'kafka' ? 3 : 2;
    let arena: Arena;
    let crowd: Crowd | undefined;
    beforeAll(async () => {
      arena = await Arena.open({ servers, log, partitions: PARTITIONS });
    }, 180_000);
    afterAll(async () => {
      await crowd?.abandon();
      await arena?.close();
    }, 60_000);

    it(
      'the other servers take them over and play goes on, whether it was killed or comes back as a zombie; nothing is lost or doubled',
      async () => {
        const history = new History();
        const figures = await verified(row(ROW), async () => {
          crowd = await crowdOf(arena, { readers: READERS, devices: DEVICES, seed: 7, history, habits: HABITS });
          await arena.allOwn();
          await crowd.start();
          const report = progress(row(ROW));
          const taken: string[] = [];
          const zombieAnswers: string[] = [];
          let during = 0;
          for (const [i, fault] of FAULTS.entries()) {
            await crowd.turns(TURNS_BETWEEN, 300_000);
            // Each may be the one: the others take over.
            const victim = i % servers;
            const address = arena.server(victim).url;
            const before = history.acceptedTurns;
            await arena.log.appendUnderWay();
            history.fault(fault);
            const begun = performance.now();
            if (fault === 'kill') await arena.killServer(victim);
            else arena.freezeServer(victim);
            taken.push(`${fault} ${Math.round((await takenFrom(arena, address)) - begun)} ms`);
            if (fault === 'kill') {
              await crowd.turns(10, 120_000);
              during += history.acceptedTurns - before;
              await arena.startServer(victim);
            } else {
              await pause(Math.max(0, FROZEN_MS - (performance.now() - begun)));
              during += history.acceptedTurns - before;
              const at = history.attempts.length;
              arena.thawServer(victim);
              await crowd.turns(10, 120_000);
              zombieAnswers.push(`${history.attempts.length - at} answers`);
            }
            await arena.allOwn();
            report(i + 1, FAULTS.length, 'faults');
          }
          await crowd.turns(TURNS_BETWEEN, 300_000);
          await crowd.stop();
          await settle(arena);
          const { truth, wrong, records, leaves, notes } = await checkDerived(arena);
          const after = turnsAfterLastFault(history, truth);
          const violations = [
            ...wrong,
            ...checkHistory(history, truth.playthroughs),
            ...notEnough(history, { turns: 5_000, outcomes: ['accepted', 'unknown', 'duplicate'] }),
          ];
          if (after < (isLong ? 100 : 20)) violations.push(`only ${after} turns after the last fault`);
          if (during === 0) violations.push('nobody could play while a server was away');
          expect(violations).toEqual([]);
          return {
            ...{
              kills: history.of('fault kill'),
              freezes: history.of('fault freeze'),
              frozenMs: FROZEN_MS,
              clients: DEVICES,
              playthroughs: READERS,
            },
            ...{
              attempts: history.attempts.length,
              acceptedTurns: history.acceptedTurns,
              turnsWhileOneWasAway: during,
              violations: violations.length,
            },
            ...{
              records,
              leaves,
              notes,
              conflicts: truth.verdicts.conflict,
              appendedTwice: truth.verdicts.duplicate,
              turnsAfterLastFault: after,
            },
            ...{ takenOverAfter: taken, afterThaw: zombieAnswers },
            faults: cutOffs(history, truth).map(
              ({ what, inFlight, storedUnanswered, notStored }) =>
                `${what}: ${inFlight} cut off, ${storedUnanswered} stored, ${notStored} not`,
            ),
            outcomes: countsOf(history),
          };
        });
        expect(figures).toMatchObject({ violations: 0 });
      },
      isLong ? 3_600_000 : 240_000,
    );
  },
  { one: 1, of: 3 },
);

/** When no partition belongs to that address any more, each having another owner. The figures say how long it took. */
async function takenFrom(arena: Arena, address: string): Promise<number> {
  await until(`the partitions of ${address} to be taken over`, async () => {
    const owners = await arena.owners();
    return owners.every((owner) => owner !== undefined && owner !== address);
  });
  return performance.now();
}
