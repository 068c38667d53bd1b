import { isLong } from '../support/requirement.js';
import { progress, verified } from '../support/verification.js';
import { Arena } from './arena.js';
import { countsOf, type Crowd, crowdOf } from './crowd.js';
import { checkDerived, settle } from './derived-checks.js';
import { checkHistory } from './history-checker.js';
import { History } from './history.js';
import { onEachLog } from './on-each-log.js';
import { notEnough, turnsAfterLastFault } from './outcome-table.js';

const CLIENTS = 64;
const PLAYTHROUGHS = 8;
const TURNS = isLong ? 6_000 : 250;
const STEP = isLong ? 50 : 20;
/** Part of the turns during which appends are cut off under way. */
const FAULTS_UNTIL = 0.7;

/** Every kind of answer that this fight is to be checked with. */
const OUTCOMES = [
  'accepted',
  'duplicate',
  'refused TURN_STALE',
  'refused COMMAND_REUSED',
  'accepted rewind',
  'accepted fork',
  'accepted checkpoint',
  'refused CHOICE_UNKNOWN',
  'refused CHOICE_LOCKED',
];

onEachLog('64 clients that fight over 8 playthroughs through several servers', ({ log, row }) => {
  const servers = log === 'kafka' ? 3 : 2;
  let arena: Arena;
  let crowd: Crowd | undefined;
  beforeAll(async () => {
    arena = await Arena.open({ servers, log });
    await arena.allOwn();
  }, 180_000);
  afterAll(async () => {
    await crowd?.abandon();
    await arena?.close();
  }, 60_000);

  it(
    'take each turn once, densely and in the order of real time, and whoever loses is told TURN_STALE',
    async () => {
      const history = new History();
      const figures = await verified(row('5 contention'), async () => {
        crowd = await crowdOf(arena, { readers: PLAYTHROUGHS, devices: CLIENTS, seed: 5, history });
        const begun = performance.now();
        await crowd.start();
        const report = progress(row('5 contention'));
        const short = (): string[] => notEnough(history, { turns: 5_000, outcomes: OUTCOMES });
        while (history.acceptedTurns < TURNS || (short().length > 0 && history.acceptedTurns < TURNS * 3)) {
          await crowd.turns(STEP, 120_000);
          report(history.acceptedTurns, TURNS, 'turns');
          if (history.acceptedTurns < TURNS * FAULTS_UNTIL && (await arena.log.appendUnderWay()) && (await arena.log.cutAppend())) {
            history.fault('append cut off');
          }
        }
        await crowd.stop();
        const seconds = (performance.now() - begun) / 1_000;
        const owners = new Set(await arena.owners());
        await settle(arena);
        const { truth, wrong, records, leaves } = await checkDerived(arena);
        const violations = [...wrong, ...checkHistory(history, truth.playthroughs), ...losersWithoutWinner(history), ...short()];
        const after = turnsAfterLastFault(history, truth);
        if (after < (isLong ? 100 : 20)) violations.push(`only ${after} turns after the last fault`);
        if (history.faults.length === 0) violations.push('no append was cut off');
        expect(violations).toEqual([]);
        expect(owners.size).toBe(servers);
        return {
          ...{ clients: CLIENTS, playthroughs: PLAYTHROUGHS, servers, attempts: history.attempts.length },
          ...{ acceptedTurns: history.acceptedTurns, turnsPerSecond: Math.round(history.acceptedTurns / seconds), violations: 0 },
          ...{ appendsCutOff: history.faults.length, turnsAfterLastFault: after },
          ...{ records, leaves, verdictsConflict: truth.verdicts.conflict, verdictsDuplicate: truth.verdicts.duplicate },
          outcomes: countsOf(history),
        };
      });
      expect(figures.violations).toBe(0);
    },
    isLong ? 3_600_000 : 240_000,
  );
});

/** Of all who asked for the same turn of one playthrough, at most one was told that it is theirs; the others were not left without a word. */
function losersWithoutWinner({ attempts }: History): string[] {
  const winners = new Map<string, Set<string>>();
  for (const { stream, turn, commandId, payload, saw } of attempts) {
    if (stream === undefined || saw.kind !== 'accepted' || payload.startsWith('checkpoint')) continue;
    const key = `${stream} turn ${turn}`;
    winners.set(key, (winners.get(key) ?? new Set()).add(commandId));
  }
  return [...winners].filter(([, { size }]) => size > 1).map(([key, { size }]) => `${key} was given to ${size} commands`);
}
