import fc from 'fast-check';
import { gzipSync } from 'node:zlib';
import { decodeFetchAnswer } from './fetch-answer.js';
import { kafkajsFile } from './kafkajs-internals.js';

interface Encoded {
  readonly buffer: Buffer;
}
type Header = Record<string, string>;
interface Message {
  readonly offsetDelta: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Header;
}

/** A batch as kafkajs' producer writes it. */
async function batchOf(firstOffset: number, messages: readonly Message[], compression = 0): Promise<Buffer> {
  const { RecordBatch } = (await kafkajsFile('protocol/recordBatch/v0/index.js')) as { RecordBatch(options: object): Promise<Encoded> };
  const Record = (await kafkajsFile('protocol/recordBatch/record/v0/index.js')) as (message: object) => Encoded;
  const firstTimestamp = messages[0]?.timestamp ?? 0;
  const records = messages.map((message) => Record({ ...message, timestampDelta: message.timestamp - firstTimestamp }));
  const lastOffsetDelta = messages.length - 1;
  const maxTimestamp = messages.reduce((latest, { timestamp }) => Math.max(latest, timestamp), 0);
  return (await RecordBatch({ firstOffset, firstTimestamp, maxTimestamp, lastOffsetDelta, records, compression })).buffer;
}

function answerOf(partitions: readonly (readonly [partition: number, batches: Buffer])[]): Buffer {
  const int = (bytes: 2 | 4 | 8, value: number): Buffer => {
    const buffer = Buffer.alloc(bytes);
    if (bytes === 8) buffer.writeBigInt64BE(BigInt(value));
    else buffer.writeIntBE(value, 0, bytes);
    return buffer;
  };
  const listed = partitions.map(([partition, batches]) =>
    Buffer.concat([int(4, partition), int(2, 0), int(8, 9), int(8, 9), int(8, 0), int(4, -1), int(4, -1), int(4, batches.length), batches]),
  );
  return Buffer.concat([int(4, 7), int(2, 0), int(4, 0), int(4, 1), int(2, 1), Buffer.from('t'), int(4, listed.length), ...listed]);
}

const bytes = fc.option(
  fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
  { nil: null },
);
const messages = fc.array(
  fc.record({
    timestamp: fc.integer({ min: 1.7e12, max: 1.9e12 }),
    key: bytes,
    value: bytes,
    headers: fc.dictionary(fc.stringMatching(/^[a-z]{1,9}$/), fc.string(), { maxKeys: 3 }),
  }),
  { minLength: 1, maxLength: 30 },
);
const numbered = (list: readonly Omit<Message, 'offsetDelta'>[]): Message[] =>
  list.map((message, offsetDelta) => ({ ...message, offsetDelta }));
const one = (value: string, headers: Header = {}): Message[] =>
  numbered([{ timestamp: 1.8e12, key: null, value: Buffer.from(value), headers }]);

describe('the answer to a fetch', () => {
  test('is read as kafkajs reads it, compressed with gzip or not', async () => {
    const theirs = (await kafkajsFile('protocol/requests/fetch/v11/response.js')) as {
      decode(payload: Buffer): Promise<{ responses: { partitions: { messages: Record<string, unknown>[] }[] }[] }>;
    };
    await fc.assert(
      fc.asyncProperty(messages, messages, fc.constantFrom(0, 1), async (first, second, compression) => {
        const batches = [await batchOf(40, numbered(first), compression), await batchOf(40 + first.length, numbered(second))];
        const payload = answerOf([[3, Buffer.concat(batches)]]);
        const [partition] = decodeFetchAnswer(payload).partitions;
        const { responses } = await theirs.decode(payload);
        const expected = responses[0]?.partitions[0]?.messages.map(({ offset, timestamp, key, value, headers }) => ({
          offset: Number(offset),
          time: Number(timestamp),
          key,
          value,
          headers: Object.entries(headers as Record<string, Buffer>).map(([name, text]) => [name, String(text)]),
        }));
        const read = partition?.messages.map((message) => ({ ...message, headers: Object.entries(message.headers ?? {}) }));
        expect(read).toEqual(expected);
        expect(partition).toMatchObject({ partition: 3, errorCode: 0 });
      }),
      { numRuns: 50 },
    );
  });

  test('ends before a batch that was cut off', async () => {
    const whole = await batchOf(0, one('a'));
    const next = await batchOf(1, one('b'));
    for (let cut = 0; cut < next.length; cut += 7) {
      const [partition] = decodeFetchAnswer(answerOf([[0, Buffer.concat([whole, next.subarray(0, cut)])]])).partitions;
      expect(partition?.messages).toHaveLength(1);
      expect(partition?.unreadable).toBeUndefined();
    }
  });

  test('gives what stands before a batch that cannot be read, names it, and keeps the other partitions', async () => {
    const spoilt = async (codec: number): Promise<Buffer> => {
      const batch = await batchOf(1, one('b'));
      batch.writeInt16BE(codec, 21);
      return batch;
    };
    const bomb = async (): Promise<Buffer> => {
      const head = (await spoilt(1)).subarray(0, 61);
      const batch = Buffer.concat([head, gzipSync(Buffer.alloc(64 * 1024 * 1024))]);
      batch.writeInt32BE(batch.length - 12, 8);
      return batch;
    };
    for (const [bad, why] of [
      [await spoilt(3), /compressed with lz4/],
      [await spoilt(7), /compressed with codec 7/],
      [await spoilt(1), /./],
      [await bomb(), /larger than/],
    ] as const) {
      const good = await batchOf(0, one('a'));
      const { partitions } = decodeFetchAnswer(
        answerOf([
          [0, Buffer.concat([good, bad, good])],
          [1, good],
        ]),
      );
      expect(partitions.map((partition) => partition.messages.length)).toEqual([1, 1]);
      expect(partitions[0]?.unreadable).toMatchObject({ offset: 1, why: expect.stringMatching(why) });
      expect(partitions[1]?.unreadable).toBeUndefined();
    }
  });

  test('with ever so many headers or records is read in linear time', async () => {
    const name = (n: number): string => n.toString(36);
    const headers = Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [name(n), '']));
    const [partition] = decodeFetchAnswer(answerOf([[0, await batchOf(0, one('a', headers))]])).partitions;
    expect(Object.keys(partition?.messages[0]?.headers ?? {})).toHaveLength(100_000);
    const tiny = numbered(Array.from({ length: 200_000 }, () => ({ timestamp: 1.8e12, key: null, value: null, headers: {} })));
    const [many] = decodeFetchAnswer(answerOf([[0, await batchOf(0, tiny)]])).partitions;
    expect(many?.messages.at(-1)).toMatchObject({ offset: 199_999, key: null, value: null });
  });
});
