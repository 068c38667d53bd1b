import { LogRefused, LogUnavailable, OutcomeUnknown, type LogRecord } from '../event-log.js';
import { GroupCommit, type AppendReport, type Leaders } from './group-commit.js';
import type { Codecs, ProduceAnswer } from './kafka-codecs.js';
import type { Protocol } from './kafkajs-internals.js';
import type { PartitionBatch } from './produce-request.js';

/** A produce request on its way; the test says what the broker answers. */
interface Sent {
  readonly leader: number;
  readonly batches: readonly PartitionBatch[];
  answer(results: Record<number, { errorCode?: number; baseOffset?: number }>): void;
  lose(error?: Error): void;
}

/** Two leaders: 1 leads the even partitions, 2 the odd ones. */
function brokers() {
  const sent: Sent[] = [];
  const reports: AppendReport[] = [];
  const state = { reachable: true, led: true, refreshed: 0, closed: 0, changed: [] as (() => void)[] };
  const leaders: Leaders = {
    topic: 't',
    leader: (partition) => (state.led ? { nodeId: 1 + (partition % 2), host: 'h', port: 1, epoch: 1 } : undefined),
    refresh: async () => void state.refreshed++,
    onChange: (listener) => {
      state.changed.push(listener);
      return () => undefined;
    },
  };
  const links = {
    async to({ nodeId }: { nodeId: number }) {
      if (!state.reachable) throw new LogUnavailable('no way');
      return {
        send: <Answer>(protocol: Protocol<Answer>) =>
          new Promise<Answer>((resolve, reject) => {
            const { batches } = protocol as unknown as { batches: readonly PartitionBatch[] };
            const answer = (results: Record<number, { errorCode?: number; baseOffset?: number }>): void => {
              const partitions = Object.entries(results).map(([partition, { errorCode = 0, baseOffset = -1 }]) => ({
                partition: Number(partition),
                errorCode,
                baseOffset: String(baseOffset),
              }));
              resolve({ topics: [{ topicName: 't', partitions }] } as unknown as Answer);
            };
            sent.push({ leader: nodeId, batches, answer, lose: (error) => reject(error ?? new Error('closed')) });
          }),
        close: () => void state.closed++,
      };
    },
  };
  const codecs: Codecs = {
    produce: (_topic, batches) => ({ batches }) as unknown as Protocol<ProduceAnswer>,
    fetch: () => {
      throw new Error('nobody reads');
    },
    offsets: () => {
      throw new Error('nobody asks');
    },
    forget: () => {
      throw new Error('nobody forgets');
    },
    nameOf: String,
  };
  const commits = new GroupCommit(leaders, links, codecs, 4, 1_000, (report) => reports.push(report));
  return { commits, sent, reports, state };
}

const record = (bytes = 10): LogRecord => ({ key: 'k', value: new Uint8Array(bytes) });
const turn = () => new Promise((resolve) => setImmediate(resolve));
/** Requests leave a turn of the event loop after their appends. */
const settle = async () => {
  await turn();
  await turn();
};

describe('group commit', () => {
  test('sends one request at a time to a leader, and all its partitions that gathered meanwhile in the next', async () => {
    const { commits, sent } = brokers();
    const first = commits.append(0, [record()]);
    await settle();
    const rest = [commits.append(0, [record(), record()]), commits.append(2, [record()]), commits.append(0, [record()])];
    const other = commits.append(1, [record()]);
    await settle();
    expect(sent.map(({ leader, batches }) => [leader, batches.map(({ partition, messages }) => [partition, messages.length])])).toEqual([
      [1, [[0, 1]]],
      [2, [[1, 1]]],
    ]);
    sent[0]?.answer({ 0: { baseOffset: 7 } });
    expect(await first).toBe(7);
    await settle();
    expect(sent[2]?.batches.map(({ partition, messages }) => [partition, messages.length])).toEqual([
      [0, 3],
      [2, 1],
    ]);
    sent[2]?.answer({ 0: { baseOffset: 20 }, 2: { baseOffset: 3 } });
    expect(await Promise.all(rest)).toEqual([20, 3, 22]);
    sent[1]?.answer({ 1: { baseOffset: 0 } });
    expect(await other).toBe(0);
  });

  test('the failure of one partition is not that of the others, and each code has its meaning', async () => {
    const { commits, sent, reports, state } = brokers();
    const hold = commits.append(0, [record()]);
    await settle();
    const outcomes = Promise.allSettled([commits.append(0, [record()]), commits.append(2, [record()])]);
    sent[0]?.answer({ 0: { errorCode: 10 } });
    await expect(hold).rejects.toThrow(LogRefused);
    await settle();
    sent[1]?.answer({ 0: { baseOffset: 5 }, 2: { errorCode: 6 } });
    const [good, bad] = await outcomes;
    expect(good).toEqual({ status: 'fulfilled', value: 5 });
    expect(bad).toMatchObject({ status: 'rejected', reason: expect.any(OutcomeUnknown) });
    expect(state.refreshed).toBeGreaterThan(0);
    expect(reports.map(({ outcome, partitions, records }) => [outcome, partitions, records])).toEqual([
      ['refused', 1, 1],
      ['partly', 2, 2],
    ]);
  });

  test.each([
    [19, LogUnavailable],
    [20, OutcomeUnknown],
    [7, OutcomeUnknown],
    [29, LogRefused],
    [18, LogRefused],
    [-1, OutcomeUnknown],
  ])('error code %i of the broker becomes the right error', async (errorCode, kind) => {
    const { commits, sent } = brokers();
    const outcome = expect(commits.append(0, [record()])).rejects.toThrow(kind);
    await settle();
    sent[0]?.answer({ 0: { errorCode } });
    await outcome;
  });

  test('an answer that says nothing about a partition leaves its outcome unknown', async () => {
    const { commits, sent } = brokers();
    const outcome = expect(commits.append(0, [record()])).rejects.toThrow(OutcomeUnknown);
    await settle();
    sent[0]?.answer({});
    await outcome;
  });

  test('a lost answer leaves all of the request unknown, gives the connection up and sends nothing again', async () => {
    const { commits, sent, state } = brokers();
    const outcome = Promise.allSettled([commits.append(0, [record()]), commits.append(2, [record()])]);
    await settle();
    sent[0]?.lose();
    for (const one of await outcome) expect(one).toMatchObject({ status: 'rejected', reason: expect.any(OutcomeUnknown) });
    await settle();
    expect([sent.length, state.closed]).toEqual([1, 1]);
    commits.close();
  });

  test('a connection that was gone before a byte was written is no unknown outcome', async () => {
    const { commits, sent } = brokers();
    const outcome = expect(commits.append(0, [record()])).rejects.toThrow(LogUnavailable);
    await settle();
    sent[0]?.lose(Object.assign(new Error('Not connected'), { name: 'KafkaJSConnectionError' }));
    await outcome;
    commits.close();
  });

  test('callers who append again once they are answered travel together, whatever partitions they write', async () => {
    const { commits, sent } = brokers();
    const caller = async (partition: number): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        await commits.append(partition, [record()]);
        // As in the engine: the answer passes through a few promises before its caller's next command is decided.
        for (let hop = 0; hop < 10; hop++) await Promise.resolve();
      }
    };
    const callers = [caller(0)];
    await settle();
    callers.push(caller(2));
    for (let request = 0; request < 4; request++) {
      sent[request]?.answer({ 0: { baseOffset: request }, 2: { baseOffset: request } });
      await settle();
    }
    await Promise.all(callers);
    // One alone, then both together, then the one who came later alone.
    expect(sent.map(({ batches }) => batches.map(({ partition }) => partition))).toEqual([[0], [0, 2], [0, 2], [2]]);
  });

  test('a partition that finds no place in a full request comes first in the next one', async () => {
    const { commits, sent } = brokers();
    const huge = () => commits.append(0, [record(9 * 1024 * 1024)]);
    const appends = [huge(), huge(), huge(), commits.append(2, [record()])];
    for (let request = 0; request < 4; request++) {
      await settle();
      sent[request]?.answer({ 0: { baseOffset: request }, 2: { baseOffset: 0 } });
    }
    await Promise.all(appends);
    expect(sent.map(({ batches }) => batches.map(({ partition }) => partition))).toEqual([[0], [2, 0], [0]]);
  });

  test('an append is never cut in two: what does not fit waits for the next request', async () => {
    const { commits, sent } = brokers();
    const hold = commits.append(0, [record()]);
    await settle();
    const appends = [600, 300, 300].map((bytes) => commits.append(0, [record(bytes)]));
    const large = commits.append(0, [record(900), record(900)]);
    sent[0]?.answer({ 0: { baseOffset: 0 } });
    await hold;
    const sizes: number[] = [];
    for (let index = 1; index <= 3; index++) {
      await settle();
      sizes.push(sent[index]?.batches[0]?.messages.length ?? 0);
      sent[index]?.answer({ 0: { baseOffset: index * 10 } });
    }
    expect(sizes).toEqual([2, 1, 2]);
    expect(await Promise.all([...appends, large])).toEqual([10, 11, 20, 30]);
  });

  test('appends wait for a leader that cannot be reached, and go when it can', async () => {
    const { commits, sent, state } = brokers();
    state.reachable = false;
    const append = commits.append(0, [record()]);
    await settle();
    expect(commits.queued).toEqual({ appends: 1, bytes: 11 });
    state.reachable = true;
    for (const changed of state.changed) changed();
    await settle();
    sent[0]?.answer({ 0: { baseOffset: 4 } });
    expect(await append).toBe(4);
    expect(commits.queued).toEqual({ appends: 0, bytes: 0 });
    commits.close();
  });

  test('without any leader appends are told so after a while, and nothing was sent', async () => {
    const { commits, sent, state } = brokers();
    state.led = false;
    await expect(commits.append(0, [record()])).rejects.toThrow(/nothing was sent/);
    expect([sent.length, commits.queued.bytes]).toEqual([0, 0]);
    commits.close();
  });

  test('closing and too long a queue turn appends away', async () => {
    const { commits, state } = brokers();
    state.led = false;
    const heavy = Array.from({ length: 64 }, () => expect(commits.append(0, [record(1024 * 1024 - 1)])).rejects.toThrow(LogUnavailable));
    await expect(commits.append(1, [record()])).rejects.toThrow(/Too many/);
    commits.close();
    await Promise.all(heavy);
    await expect(commits.append(0, [record()])).rejects.toThrow(/closed/);
  });
});
