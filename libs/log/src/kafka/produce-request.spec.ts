import fc from 'fast-check';
import { crc32c } from './crc32c.js';
import { kafkajsFile } from './kafkajs-internals.js';
import { encodeProduceRequest } from './produce-request.js';

interface Encoded {
  readonly buffer: Buffer;
}

async function byKafkajs(topic: string, partitions: readonly object[], timeout: number): Promise<Buffer> {
  const definition = (await kafkajsFile('protocol/requests/produce/index.js')) as {
    protocol(options: { version: number }): (options: object) => { request: { encode(): Promise<Encoded> } };
  };
  const { request } = definition.protocol({ version: 7 })({ acks: -1, timeout, topicData: [{ topic, partitions }] });
  return (await request.encode()).buffer;
}

const text = fc.string({ unit: 'binary', maxLength: 70 }).map((one) => one.toWellFormed());
const message = fc.record(
  {
    key: text,
    value: fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.constantFrom(63, 64, 8_191, 8_192, 140_000).map((length) => Buffer.alloc(length, 7)),
    ),
    headers: fc.dictionary(text, text, { maxKeys: 3 }),
  },
  { requiredKeys: ['key', 'value'] },
);

describe('a produce request', () => {
  beforeEach(() => jest.spyOn(Date, 'now').mockReturnValue(1_800_000_000_123));
  afterEach(() => jest.restoreAllMocks());

  it('is what kafkajs would write, byte for byte', async () => {
    const batches = fc.array(fc.record({ partition: fc.nat(5_000), messages: fc.array(message, { minLength: 1, maxLength: 90 }) }), {
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[a-z.]{1,40}$/), batches, fc.nat(60_000), async (topic, partitions, timeout) => {
        const { buf, buffer, size } = encodeProduceRequest(topic, partitions, timeout, Date.now());
        const theirs = await byKafkajs(topic, partitions, timeout);
        expect(buffer.equals(theirs)).toBe(true);
        expect([buf.length, size()]).toEqual([theirs.length, theirs.length]);
      }),
      { numRuns: 60 },
    );
  });

  it('has the checksum that Kafka knows, of any number of bytes', async () => {
    // RFC 3720, B.4
    expect(crc32c(Buffer.alloc(32)).toString(16)).toBe('8a9136aa');
    expect(crc32c(Buffer.from('123456789')).toString(16)).toBe('e3069283');
    const theirs = (await kafkajsFile('protocol/recordBatch/crc32C/index.js')) as (bytes: Uint8Array) => number;
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => expect(crc32c(bytes)).toBe(theirs(bytes))));
  });
});
