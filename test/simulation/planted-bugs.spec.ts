import type * as decision from '#lib/decision';
import { MemoryProjection } from '#lib/projections';
import { BatchAppender } from '../../libs/engine/src/batch-appender.js';
import { TailIndex } from '../../libs/engine/src/tail-index.js';
import { planted } from './planted-rule.js';
import type * as rule from './planted-rule.js';
import { runSeed } from './run-seed.js';
import type { Plant } from './world.js';

// Everybody's admit (engine, projector, auditor, checks) goes through the switch.
jest.mock('#lib/decision', () => {
  const actual = jest.requireActual<typeof decision>('#lib/decision');
  const { planted: switched } = jest.requireActual<typeof rule>('./planted-rule.js');
  const admit: typeof decision.admit = (...args) => (switched.admit ?? actual.admit)(...args);
  return { ...actual, admit };
});
const real = jest.requireActual<typeof decision>('#lib/decision');

const MOST_SEEDS = 5_000;

/** The first seed whose history shows the bug, and what it shows. */
async function found(plant?: Plant): Promise<{ readonly seed: number; readonly violation: string } | undefined> {
  for (let seed = 1; seed <= MOST_SEEDS; seed++) {
    const { violations } = await runSeed(seed, plant);
    if (violations[0] !== undefined) return { seed, violation: violations[0] };
  }
  return undefined;
}

describe('The simulation finds a planted bug:', () => {
  const seeds: string[] = [];
  const expectFound = async (name: string, plant?: Plant): Promise<void> => {
    const bug = await found(plant);
    seeds.push(bug === undefined ? `${name}: not found` : `${name}: seed ${bug.seed}: ${bug.violation.split('\n')[0]}`);
    expect(bug).toBeDefined();
    // It was the bug: without it the same seed is clean.
    planted.admit = undefined;
    jest.restoreAllMocks();
    expect((await runSeed(bug?.seed ?? 0)).violations).toEqual([]);
  };

  afterEach(() => {
    planted.admit = undefined;
    jest.restoreAllMocks();
  });
  afterAll(() => void process.stdout.write(`planted bugs were found at\n  ${seeds.join('\n  ')}\n`));

  it('a fence that compares versions and not the chain of heads', async () => {
    planted.admit = (head, envelope, digest, offset) => real.admit(head, { ...envelope, previous: head.previous }, digest, offset);
    await expectFound('version-only fence');
  });

  it('a conflict that enters the window', async () => {
    planted.admit = (head, envelope, digest, offset) => {
      const admission = real.admit(head, envelope, digest, offset);
      if (admission.verdict !== 'conflict') return admission;
      const { commandId, commandDigest } = envelope;
      const entered = { commandId, commandDigest, version: head.version, offset };
      return { verdict: 'conflict', head: { ...head, window: [...head.window.slice(-63), entered] } };
    };
    await expectFound('conflict in the window');
  });

  it('an answer before the verdict', async () => {
    jest.spyOn(BatchAppender.prototype, 'append').mockImplementation(async function (this: BatchAppender, { records }) {
      const { context, partition } = this as unknown as {
        readonly context: { readonly log: { append(p: number, r: unknown): Promise<number> } };
        readonly partition: number;
      };
      context.log
        .append(
          partition,
          records.map(({ log }) => log),
        )
        .catch(() => undefined);
      return records[0]?.offset;
    });
    await expectFound('ack before verdict');
  });

  it('a projector that skips', async () => {
    let commits = 0;
    class Skipping extends MemoryProjection {
      override commit(changes: Parameters<MemoryProjection['commit']>[0]): ReturnType<MemoryProjection['commit']> {
        const skip = ++commits % 29 === 0;
        return super.commit(
          skip ? { ...changes, rows: { ...changes.rows, streams: [], playthroughs: [], commands: [], turns: [] } } : changes,
        );
      }
    }
    await expectFound('projector skip', { projection: () => new Skipping() });
  });

  it('a cold load without the tail', async () => {
    jest.spyOn(TailIndex.prototype, 'of').mockReturnValue([]);
    await expectFound('stale cold load');
  });

  it('a window that is lost at a restart', async () => {
    await expectFound('window lost at restart', {
      coldSource: (cold) => ({
        load: async (partition, streams) => {
          const loaded = await cold.load(partition, streams);
          const rows = [...loaded.streams].map(([stream, row]) => [stream, { ...row, head: { ...row.head, window: [] } }] as const);
          return { ...loaded, streams: new Map(rows) };
        },
        position: (partition) => cold.position(partition),
        past: (stream, turn) => cold.past(stream, turn),
        accepted: (stream, commandId) => cold.accepted(stream, commandId),
        kept: (stream, offset) => cold.kept(stream, offset),
        overdue: (partition, before, limit) => cold.overdue(partition, before, limit),
      }),
    });
  });
});
