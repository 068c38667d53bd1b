import type { KafkaCluster } from '../../scripts/kafka/cluster.mjs';
import { describeWithOwnKafka, startProxiedKafka } from '../support/kafka.js';
import { isLong } from '../support/requirement.js';
import { progress, verified } from '../support/verification.js';
import { Random } from '../simulation/random.js';
import { Arena, until } from './arena.js';
import { KafkaArenaLog } from './arena-log.js';
import { countsOf, type Crowd, crowdOf, pause } from './crowd.js';
import { checkDerived, settle } from './derived-checks.js';
import { checkHistory } from './history-checker.js';
import { History } from './history.js';
import { cutOffs, longestGap, notEnough, turnsAfterLastFault } from './outcome-table.js';

const READERS = 12;
const DEVICES = 24;
const PARTITIONS = 6;
const ROW = 'Kafka 4 outages';
/** Brokers force each append to disk: what they acknowledge is as durable as Postgres', and as slow. */
const FLUSHED = { 'log.flush.interval.messages': '1' };
/** Longer than brokers wait for each other (2 s here) and than a member of a group may be silent (6 s). */
const FROZEN_MS = isLong ? 15_000 : 9_000;
/** Turns that must be taken while one broker or one owner is away. */
const MEANWHILE = isLong ? 100 : 10;
/** A stall of a slow disk: shorter than brokers wait for each other. */
const HANGS_MS = 800;
const BETWEEN = isLong ? 60 : 10;
const WITHIN_MS = 90_000;
/** Turns of the whole run in full size; a fiftieth in the short one. */
const OF_TURNS = 5_000;
const TURNS = isLong ? OF_TURNS : OF_TURNS / 50;
/** FABULA_TEST_SEED=n repeats what a run drew. */
const SEED = Number(process.env['FABULA_TEST_SEED'] ?? Date.now() % 1_000_000);

const ROLES = ['api,engine,auditor', 'api,engine,projector', 'api,engine,projector'];
const HABITS = { choose: 90, doubled: 3, stale: 1, replay: 4, reuse: 1, rewind: 3, fork: 1, checkpoint: 1, look: 4 };

interface Stage {
  readonly arena: Arena;
  readonly kafka: KafkaCluster;
  readonly crowd: Crowd;
  readonly history: History;
}
interface Outage {
  readonly name: string;
  /** Play must go on meanwhile. */
  readonly survivable: boolean;
  /** The log takes nothing meanwhile, and who asks must be told so. */
  readonly silences?: boolean;
  /** Until what was taken away is there again. */
  run(stage: Stage): Promise<void>;
}

describeWithOwnKafka('Brokers, servers and Postgres that are killed, frozen and restarted under load', () => {
  let arena: Arena;
  let kafka: KafkaCluster;
  let crowd: Crowd | undefined;
  beforeAll(async () => {
    arena = await Arena.open({
      ...{ servers: ROLES.length, roles: ROLES, partitions: PARTITIONS, log: 'kafka', ownPostgres: true },
      kafka: async (partitions) => {
        const own = await startProxiedKafka(SEED, { nodes: 3, properties: FLUSHED });
        kafka = own.kafka;
        return KafkaArenaLog.over(own, partitions);
      },
    });
    await arena.allOwn();
  }, 300_000);
  afterAll(async () => {
    await crowd?.abandon();
    await arena?.close();
  }, 60_000);

  it(
    'lose no acknowledged turn and double none; while one broker or one owner is away, play goes on',
    async () => {
      const history = new History();
      const figures = await verified(ROW, async () => {
        crowd = await crowdOf(arena, { readers: READERS, devices: DEVICES, seed: SEED, history, habits: HABITS });
        await crowd.start();
        const report = progress(ROW);
        const outages = drawn(new Random(SEED));
        const lines: string[] = [];
        const stuck: string[] = [];
        for (const [i, outage] of outages.entries()) {
          await crowd.turns(BETWEEN, WITHIN_MS);
          const [before, begun, toldBefore] = [history.acceptedTurns, performance.now(), told(history)];
          history.fault(outage.name);
          await outage.run({ arena, kafka, crowd, history });
          const meanwhile = history.acceptedTurns - before;
          const ended = performance.now();
          history.fault(`the end of ${outage.name}`);
          await crowd.turns(5, WITHIN_MS);
          const now = performance.now();
          const gap = longestGap(history, begun, now);
          lines.push(
            `${outage.name}: ${Math.round(ended - begun)} ms, ${meanwhile} turns meanwhile, 5 more ${Math.round(now - ended)} ms after, longest gap ${gap} ms`,
          );
          if (outage.survivable && meanwhile < MEANWHILE) stuck.push(`${meanwhile} turns during ${outage.name}, ${MEANWHILE} are needed`);
          if (outage.silences === true && told(history) === toldBefore)
            stuck.push(`nobody was told that the log is away during ${outage.name}`);
          report(i + 1, outages.length, 'outages');
        }
        await crowd.turns(Math.max(isLong ? 200 : 30, TURNS - history.acceptedTurns), WITHIN_MS);
        await crowd.stop();
        await settle(arena);
        const { truth, wrong, records, leaves, rows } = await checkDerived(arena);
        const after = turnsAfterLastFault(history, truth);
        const violations = [...wrong, ...stuck, ...checkHistory(history, truth.playthroughs)];
        violations.push(...notEnough(history, { turns: OF_TURNS, outcomes: ['accepted', 'duplicate', 'refused TURN_STALE'] }));
        if (after < (isLong ? 100 : 20)) violations.push(`only ${after} turns after the last fault`);
        expect({ seed: SEED, violations }).toEqual({ seed: SEED, violations: [] });
        return {
          ...{ seed: SEED, servers: ROLES.length, brokers: 3, outages: outages.length, frozenMs: FROZEN_MS },
          ...{
            attempts: history.attempts.length,
            acceptedTurns: history.acceptedTurns,
            lost: 0,
            doubled: 0,
            violations: violations.length,
          },
          ...{ records, readModelRows: rows, leaves, appendedTwice: truth.verdicts.duplicate, conflicts: truth.verdicts.conflict },
          ...{ turnsAfterLastFault: after, each: lines },
          faults: cutOffs(history, truth).map((one) => `${one.what}: ${one.inFlight} cut off, ${one.storedUnanswered} stored`),
          outcomes: countsOf(history),
        };
      });
      expect(figures).toMatchObject({ lost: 0, doubled: 0, violations: 0 });
    },
    isLong ? 5_400_000 : 300_000,
  );
});

/** Commands that were answered with the truth about a log that is away. */
const told = (history: History): number => history.of('no-effect LOG_UNAVAILABLE') + history.of('unknown OUTCOME_UNKNOWN');

/** Long enough, and until enough was played meanwhile; not for ever when nothing is. */
async function heldFor(ms: number, turns: number, { history }: Stage): Promise<void> {
  const [begun, before] = [performance.now(), history.acceptedTurns];
  await pause(ms);
  while (history.acceptedTurns - before < turns && performance.now() - begun < WITHIN_MS) await pause(50);
}

const killBrokers = (...nodes: readonly number[]): Outage => ({
  name: `SIGKILL of ${nodes.length === 1 ? 'broker' : 'brokers'} ${nodes.join(' and ')}`,
  survivable: nodes.length === 1,
  silences: nodes.length > 1,
  run: async (stage) => {
    for (const node of nodes) await stage.kafka.kill(node);
    await heldFor(5_000, nodes.length === 1 ? MEANWHILE : 0, stage);
    await stage.kafka.start(...nodes);
  },
});
const freezeBrokers = (...nodes: readonly number[]): Outage => ({
  name: `SIGSTOP of ${nodes.length === 1 ? 'broker' : 'brokers'} ${nodes.join(' and ')}`,
  survivable: nodes.length === 1,
  silences: nodes.length > 1,
  run: async (stage) => {
    for (const node of nodes) stage.kafka.freeze(node);
    await heldFor(FROZEN_MS, nodes.length === 1 ? MEANWHILE : 0, stage);
    for (const node of nodes) stage.kafka.thaw(node);
  },
});
const killServer = (i: number, what: string): Outage => ({
  name: `SIGKILL of ${what}`,
  survivable: true,
  run: async (stage) => {
    await stage.arena.log.appendUnderWay();
    await stage.arena.killServer(i);
    await heldFor(0, MEANWHILE, stage);
    await stage.arena.startServer(i);
    await stage.arena.allOwn();
  },
});
/** It wakes up when others have long had what it thinks is its own. */
const freezeServer = (i: number, what: string): Outage => ({
  name: `SIGSTOP of ${what}`,
  survivable: true,
  run: async (stage) => {
    await stage.arena.log.appendUnderWay();
    stage.arena.freezeServer(i);
    const zombie = stage.arena.server(i).url;
    await heldFor(FROZEN_MS, MEANWHILE, stage);
    await until('the partitions of the frozen server to move', async () => {
      const owners = await stage.arena.owners();
      return owners.every((owner) => owner !== undefined && owner !== zombie);
    });
    stage.arena.thawServer(i);
    await stage.arena.allOwn();
  },
});
const rollingRestart: Outage = {
  name: 'a rolling restart of all brokers and servers',
  survivable: true,
  run: async ({ arena, kafka, crowd }) => {
    for (let node = 1; node <= kafka.nodes; node++) {
      await kafka.restart(node);
      await crowd.turns(MEANWHILE / 5, WITHIN_MS);
    }
    for (let i = 0; i < ROLES.length; i++) {
      const server = arena.server(i);
      arena.servers[i] = undefined;
      await server.stop();
      await arena.startServer(i);
      await crowd.turns(MEANWHILE / 5, WITHIN_MS);
    }
    await arena.allOwn();
  },
};
const killPostgres: Outage = {
  name: 'SIGKILL of Postgres',
  survivable: false,
  run: async ({ arena }) => void (await arena.killPostgres(() => {})),
};
const freezePostgres: Outage = { name: 'SIGSTOP of Postgres', survivable: false, run: ({ arena }) => arena.freezePostgres(FROZEN_MS) };

/** What a disk that hangs for moments does, to one broker after the other: each append waits for it, and then goes on. */
const stutteringBrokers: Outage = {
  name: 'brokers that hang for moments, as their disks would',
  survivable: true,
  run: async (stage) => {
    const before = stage.history.acceptedTurns;
    const over = performance.now() + FROZEN_MS;
    for (let i = 0; performance.now() < over; i++) {
      const node = (i % stage.kafka.nodes) + 1;
      stage.kafka.freeze(node);
      await pause(HANGS_MS);
      stage.kafka.thaw(node);
      await pause(HANGS_MS / 2);
    }
    await heldFor(0, Math.max(0, MEANWHILE - (stage.history.acceptedTurns - before)), stage);
  },
};
/** The servers' sessions hang where they are, with whatever they have locked; new ones are served. */
const hangingSessions: Outage = {
  name: 'sessions of Postgres that hang, as its disk would make them',
  survivable: true,
  run: async (stage) => {
    const before = stage.history.acceptedTurns;
    await stage.arena.freezeSessions(FROZEN_MS);
    await heldFor(0, Math.max(0, MEANWHILE - (stage.history.acceptedTurns - before)), stage);
  },
};

const OF_BROKERS = [
  ...[1, 2, 3].flatMap((node) => [killBrokers(node), freezeBrokers(node)]),
  ...[killBrokers(1, 2), killBrokers(2, 3), freezeBrokers(1, 3), freezeBrokers(2, 3)],
];
const OF_SERVERS = [
  ...[killServer(0, 'an owner that audits'), freezeServer(0, 'an owner that audits')],
  ...[killServer(1, 'an owner that projects'), freezeServer(2, 'an owner that projects')],
];
const OF_THE_REST = [killPostgres, freezePostgres, rollingRestart, stutteringBrokers, hangingSessions];

/** All of them; or one, drawn by the seed. */
function drawn(random: Random): readonly Outage[] {
  if (isLong) return [...OF_BROKERS, ...OF_SERVERS, ...OF_THE_REST];
  return [random.pick([...OF_BROKERS, ...OF_SERVERS, killPostgres, stutteringBrokers, hangingSessions])];
}
