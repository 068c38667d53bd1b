import { Auditor, AuditVerdicts, partitionLog, PostgresAuditStore } from '#lib/audit';
import { createMemoryLog, type EventLog } from '#lib/log';
import { systemClock, systemTimers } from '#lib/platform';
import { writeRandomHistory } from '../../projections/src/contract/random-history.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { openFeedKey, PostgresFeedPositions, Publisher, readerMarks, type FeedPositions, type Verdicts } from './index.js';
import { FoldedVerdicts, MemoryPositions, RecordingSink } from './testing/feed-fixture.js';

describe('the feed with verdicts from the audit in Postgres', () => {
  let database: TestDatabase;
  let log: EventLog;
  let logId: string;
  let store: PostgresAuditStore;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = new PostgresAuditStore(database.pool);
    log = createMemoryLog({ partitions: 1, clock: systemClock });
    logId = await log.id();
    await writeRandomHistory(log, { seed: 21, partitions: 1, playthroughs: 7, records: 300 });
  });
  afterAll(() => database.drop());

  const audit = async (): Promise<unknown> => new Auditor({ log, store, timers: systemTimers }).catchUp(0);
  const published = async (verdicts: Verdicts, positions: FeedPositions, maxContexts: number): Promise<RecordingSink> => {
    const sink = new RecordingSink();
    const mark = readerMarks(await openFeedKey(database.pool));
    await new Publisher({ log, logId, verdicts, positions, sink, mark, clock: systemClock, timers: systemTimers, maxContexts }).catchUp(0);
    return sink;
  };

  it('is the same, byte for byte, as from a fold of the whole log, though every stream is recalled from its leaves', async () => {
    await audit();
    const verdicts = new AuditVerdicts(database.pool);
    let recalled = 0;
    const small: Verdicts = {
      read: (id, partition, from, to) => verdicts.read(id, partition, from, Math.min(to, from + 7)),
      beginnings: async (partition, streams, before) => {
        recalled += streams.length;
        return verdicts.beginnings(partition, streams, before);
      },
    };
    const cold = await published(small, new PostgresFeedPositions(database.pool, 'cold'), 1);
    const warm = await published(new FoldedVerdicts(log), new MemoryPositions(), 1_000);
    expect(recalled).toBeGreaterThan(50);
    expect(warm.sent.length).toBeGreaterThan(150);
    expect(cold.sent).toEqual(warm.sent);
  });

  it('knows nothing of another log, nor beyond the tree, nor of one that is being built anew', async () => {
    await audit();
    const verdicts = new AuditVerdicts(database.pool);
    const end = await log.end(0);
    const whole = await verdicts.read(logId, 0, 0, end + 50);
    expect([whole.upTo, whole.accepted.size]).toEqual([end, end]);
    const other = await verdicts.read('another log', 0, 3, end);
    expect([other.upTo, other.accepted.size]).toEqual([3, 0]);
    await store.forget(partitionLog(0));
    const forgotten = await verdicts.read(logId, 0, 5, end);
    expect([forgotten.upTo, forgotten.accepted.size]).toEqual([5, 0]);
  });

  it('moves a position only from where it stands, for each topic by itself', async () => {
    const positions = new PostgresFeedPositions(database.pool, 'one');
    expect(await positions.read(0)).toBeUndefined();
    expect(await positions.open(0, 'log')).toEqual({ logId: 'log', offset: 0 });
    expect(await positions.move(0, 'log', 0, 5)).toBe(true);
    expect([await positions.move(0, 'log', 0, 9), await positions.move(0, 'other', 5, 9)]).toEqual([false, false]);
    expect(await positions.open(0, 'other')).toEqual({ logId: 'log', offset: 5 });
    expect(await new PostgresFeedPositions(database.pool, 'two').read(0)).toBeUndefined();
    await positions.set(0, 'other', 2);
    expect(await positions.read(0)).toEqual({ logId: 'other', offset: 2 });
    expect(await openFeedKey(database.pool)).toEqual(await openFeedKey(database.pool));
  });
});
