import { partitionOf } from '#lib/decision';
import type { EventLog } from '#lib/log';
import { playthroughStream } from '#lib/playthrough';
import type { NetworkFault, NetworkFaultKind } from '../support/fault-proxy.js';
import { describeWithOwnKafka } from '../support/kafka.js';
import { isLong } from '../support/requirement.js';
import { progress, verified } from '../support/verification.js';
import { Random } from '../simulation/random.js';
import { Arena, until } from './arena.js';
import { KafkaArenaLog } from './arena-log.js';
import { countsOf, type Crowd, crowdOf, pause } from './crowd.js';
import { checkDerived, positionsOf, settle } from './derived-checks.js';
import { checkHistory } from './history-checker.js';
import { History } from './history.js';
import { notEnough, turnsAfterLastFault } from './outcome-table.js';

const READERS = 12;
const DEVICES = 24;
const PARTITIONS = 6;
const ROW = 'Kafka 3 network faults';
/** Longer than a member of a group may be silent (6 s), for some; shorter than a command's patience, for others. */
const LASTS_MS = isLong ? [2_000, 9_000] : [2_500, 4_000];
/** What was hit goes on within this after the fault has ended. */
const RECOVERS_WITHIN_MS = 20_000;
/** FABULA_TEST_SEED=n repeats what a run drew. */
const SEED = Number(process.env['FABULA_TEST_SEED'] ?? Date.now() % 1_000_000);

const FAULTS: { readonly [kind in NetworkFaultKind]: NetworkFault & { readonly kind: kind } } = {
  dropResponse: { kind: 'dropResponse' },
  delay: { kind: 'delay', ms: 300, jitterMs: 900 },
  reset: { kind: 'reset' },
  halfOpen: { kind: 'halfOpen' },
  slow: { kind: 'slow', bytesPerSecond: 2_000 },
  reorder: { kind: 'reorder', ms: 3_000 },
};
/** Server processes by what they do; each reaches the brokers through proxies of its own. Two share the writing, as the rule is. */
const ROLES = ['api,engine', 'api,engine', 'projector', 'auditor,signer'];
const TARGETS = { owner: 0, projector: 2, auditor: 3 } as const;

interface Cell {
  readonly kind: NetworkFaultKind;
  readonly target: keyof typeof TARGETS;
  /** In front of one broker, or of all: then the target is cut off from everything. */
  readonly brokers: readonly number[];
}

const HABITS = { choose: 90, doubled: 3, stale: 1, replay: 4, reuse: 1, rewind: 3, fork: 1, checkpoint: 1, look: 4 };

describeWithOwnKafka('A network that fails between a process and a broker', () => {
  let arena: Arena;
  let kafka: KafkaArenaLog;
  let crowd: Crowd | undefined;
  beforeAll(async () => {
    arena = await Arena.open({
      ...{ servers: ROLES.length, roles: ROLES, partitions: PARTITIONS, log: 'kafka' },
      kafka: async (partitions) => (kafka = await KafkaArenaLog.open(partitions, ROLES.length, SEED)),
    });
    await arena.allOwn();
  }, 240_000);
  afterAll(async () => {
    await crowd?.abandon();
    await arena?.close();
  }, 60_000);

  it(
    'loses no acknowledged turn and doubles none, whoever it hits and however; what was hit goes on soon after',
    async () => {
      const history = new History();
      const figures = await verified(ROW, async () => {
        const log = await arena.log.open();
        crowd = await crowdOf(arena, { readers: READERS, devices: DEVICES, seed: SEED, history, habits: HABITS });
        await crowd.start();
        const random = new Random(SEED);
        const report = progress(ROW);
        const cells = cellsOf(random);
        const took = new Map<string, number>();
        const lines: string[] = [];
        let duringOwner = 0;
        try {
          for (const [i, cell] of cells.entries()) {
            const { line, applied, during } = await suffer(cell, { arena, kafka, crowd, history, log, random });
            const key = `${cell.kind} at the ${cell.target}`;
            took.set(key, (took.get(key) ?? 0) + applied);
            if (cell.target === 'owner') duringOwner += during;
            lines.push(line);
            report(i + 1, cells.length, 'faults');
          }
        } finally {
          await log.close();
        }
        await crowd.turns(isLong ? 200 : 30, 120_000);
        await crowd.stop();
        await settle(arena);
        const { truth, wrong, records, leaves, rows } = await checkDerived(arena);
        const after = turnsAfterLastFault(history, truth);
        const violations = [...wrong, ...checkHistory(history, truth.playthroughs)];
        violations.push(...notEnough(history, { turns: 5_000, outcomes: ['accepted', 'duplicate', 'refused TURN_STALE'] }));
        for (const [what, times] of took) if (times === 0) violations.push(`${what} never took hold`);
        if (after < (isLong ? 100 : 20)) violations.push(`only ${after} turns after the last fault`);
        if (duringOwner === 0) violations.push('nobody could play while the network of one of two owners failed');
        expect({ seed: SEED, violations }).toEqual({ seed: SEED, violations: [] });
        return {
          ...{ seed: SEED, servers: ROLES.length, brokers: 3, faults: cells.length, recoversWithinMs: RECOVERS_WITHIN_MS },
          ...{
            attempts: history.attempts.length,
            acceptedTurns: history.acceptedTurns,
            lost: 0,
            doubled: 0,
            violations: violations.length,
          },
          ...{ records, readModelRows: rows, leaves, appendedTwice: truth.verdicts.duplicate, conflicts: truth.verdicts.conflict },
          ...{ turnsAfterLastFault: after, tookHold: [...took].map(([what, times]) => `${what} ${times}`), cells: lines },
          outcomes: countsOf(history),
        };
      });
      expect(figures).toMatchObject({ lost: 0, doubled: 0, violations: 0 });
    },
    isLong ? 5_400_000 : 240_000,
  );
});

/** All of them, in front of each broker and of all; or one per target, drawn by the seed. */
function cellsOf(random: Random): readonly Cell[] {
  const kinds = Object.keys(FAULTS) as NetworkFaultKind[];
  const targets = Object.keys(TARGETS) as (keyof typeof TARGETS)[];
  const where = [[0], [1], [2], [0, 1, 2]];
  if (isLong) return targets.flatMap((target) => kinds.flatMap((kind) => where.map((brokers) => ({ kind, target, brokers }))));
  const left = [...kinds];
  return targets.map((target) => {
    const kind = left.splice(random.int(0, left.length - 1), 1)[0] as NetworkFaultKind;
    return { kind, target, brokers: random.pick(where) };
  });
}

interface Stage {
  readonly arena: Arena;
  readonly kafka: KafkaArenaLog;
  readonly crowd: Crowd;
  readonly history: History;
  readonly log: EventLog;
  readonly random: Random;
}

/** One fault from its beginning until what it hit has gone on. @throws when that takes too long */
async function suffer(
  { kind, target, brokers }: Cell,
  { arena, kafka, crowd, history, log, random }: Stage,
): Promise<{ readonly line: string; readonly applied: number; readonly during: number }> {
  const proxies = brokers.map((broker) => kafka.proxies(TARGETS[target])[broker]).filter((proxy) => proxy !== undefined);
  const applied = (): number => proxies.reduce((sum, { counts }) => sum + counts[kind], 0);
  const [before, turnsBefore, ms] = [applied(), history.acceptedTurns, random.pick(LASTS_MS)];
  history.fault(`${kind} at the ${target}`);
  for (const proxy of proxies) proxy.begin(FAULTS[kind]);
  await pause(ms);
  const during = history.acceptedTurns - turnsBefore;
  history.fault(`the end of ${kind} at the ${target}`);
  for (const proxy of proxies) proxy.end();
  const ended = performance.now();
  const where = `${kind} ${ms} ms between the ${target} and ${brokers.length === 3 ? 'all brokers' : `broker ${(brokers[0] ?? 0) + 1}`}`;
  if (target === 'owner') await everyoneIsAnswered(crowd, log, where);
  else {
    const { ends } = await positionsOf(arena, log);
    await until(
      `the ${target} to go on after ${where}`,
      async () => {
        const now = (await positionsOf(arena, log))[target];
        return ends.every((end, partition) => (now[partition] ?? 0) >= end);
      },
      RECOVERS_WITHIN_MS,
    );
  }
  const took = Math.round(performance.now() - ended);
  await crowd.turns(5, RECOVERS_WITHIN_MS);
  return { line: `${where}: ${during} turns meanwhile, on again after ${took} ms`, applied: applied() - before, during };
}

/** Something is appended in every partition that anybody plays in. */
async function everyoneIsAnswered(crowd: Crowd, log: EventLog, where: string): Promise<void> {
  const played = [...new Set(crowd.playthroughs.map(({ id }) => partitionOf(playthroughStream(id), PARTITIONS)))];
  const ends = (): Promise<readonly number[]> => Promise.all(played.map((partition) => log.end(partition)));
  const from = await ends();
  await until(
    `turns in partitions ${played.join()} after ${where}`,
    async () => (await ends()).every((end, i) => end > (from[i] ?? 0)),
    RECOVERS_WITHIN_MS,
  );
}
