import { decodeFetchAnswer, type FetchAnswer } from './fetch-answer.js';
import { kafkajsFile, KafkajsChanged, type Protocol } from './kafkajs-internals.js';
import { encodeProduceRequest, type PartitionBatch } from './produce-request.js';

/**
 * The three requests that the log makes all day, and the one that forgets. kafkajs gives their frames and versions; records are written and read here. The answers
 * are not judged by it: its `parse` throws on the first partition that failed and so hides where the others were stored.
 */
export interface Codecs {
  produce(topic: string, batches: readonly PartitionBatch[], timeoutMs: number): Protocol<ProduceAnswer>;
  fetch(topic: string, from: readonly PartitionFetch[], limits: FetchLimits): Protocol<FetchAnswer>;
  /** `when`: -1 the offset after the last record, -2 the first that is kept. */
  offsets(topic: string, partitions: readonly number[], when: -1 | -2): Protocol<OffsetsAnswer>;
  /** Answered when every replica that is alive forgot too. */
  forget(topic: string, partition: number, before: number, timeoutMs: number): Protocol<ForgetAnswer>;
  /** Name of an error code, for people. */
  nameOf(code: number): string;
}

export interface PartitionFetch {
  readonly partition: number;
  readonly fetchOffset: number;
  readonly currentLeaderEpoch: number;
  readonly maxBytes: number;
}
export interface FetchLimits {
  readonly maxWaitMs: number;
  readonly maxBytes: number;
}

export interface ProduceAnswer {
  readonly topics: readonly {
    readonly topicName: string;
    readonly partitions: readonly { readonly partition: number; readonly errorCode: number; readonly baseOffset: string }[];
  }[];
}
export interface OffsetsAnswer {
  readonly responses: readonly {
    readonly partitions: readonly { readonly partition: number; readonly errorCode: number; readonly offset: string }[];
  }[];
}
export interface ForgetAnswer {
  readonly topics: readonly { readonly partitions: readonly { readonly partition: number; readonly errorCode: number }[] }[];
}

/** Uncommitted too: an offset that a foreign transaction took must be seen, or it would be a hole for ever. */
const READ_UNCOMMITTED = 0;

/** @throws KafkajsChanged */
export async function loadCodecs(): Promise<Codecs> {
  const produce = await codec<ProduceAnswer>('produce', 7);
  const fetch = await codec<FetchAnswer>('fetch', 11, async (payload) => decodeFetchAnswer(payload));
  const listOffsets = await codec<OffsetsAnswer>('listOffsets', 3);
  const deleteRecords = await codec<ForgetAnswer>('deleteRecords', 1);
  const names = await errorNames();
  return {
    produce: (topic, batches, timeoutMs) => {
      const protocol = produce({ acks: -1, timeout: timeoutMs, topicData: [] });
      const encode = () => encodeProduceRequest(topic, batches, timeoutMs, Date.now());
      return { ...protocol, request: { ...protocol.request, encode } };
    },
    fetch: (topic, from, { maxWaitMs, maxBytes }) =>
      fetch({
        isolationLevel: READ_UNCOMMITTED,
        maxWaitTime: maxWaitMs,
        minBytes: 1,
        maxBytes,
        topics: [{ topic, partitions: from }],
        rackId: '',
      }),
    offsets: (topic, partitions, when) =>
      listOffsets({
        isolationLevel: READ_UNCOMMITTED,
        topics: [{ topic, partitions: partitions.map((partition) => ({ partition, timestamp: when })) }],
      }),
    forget: (topic, partition, before, timeoutMs) =>
      deleteRecords({ topics: [{ topic, partitions: [{ partition, offset: before }] }], timeout: timeoutMs }),
    nameOf: (code) => names.get(code) ?? `error ${code}`,
  };
}

async function codec<Answer>(
  name: string,
  version: number,
  read?: (payload: Buffer) => Promise<Answer>,
): Promise<(options: object) => Protocol<Answer>> {
  const definition = await kafkajsFile(`protocol/requests/${name}/index.js`);
  const make = isDefinition(definition) ? definition.protocol({ version }) : undefined;
  if (typeof make !== 'function') throw new KafkajsChanged(`${name} request in version ${version}`);
  return (options) => {
    const { request, response, requestTimeout } = make(options) as Protocol<Answer>;
    const decode = read ?? ((payload: Buffer) => response.decode(payload));
    return { request, response: { decode, parse: (answer) => Promise.resolve(answer) }, requestTimeout, logResponseError: false };
  };
}

function isDefinition(value: unknown): value is { protocol(options: { version: number }): unknown } {
  return typeof value === 'object' && value !== null && 'protocol' in value && typeof value.protocol === 'function';
}

async function errorNames(): Promise<Map<number, string>> {
  const module = await kafkajsFile('protocol/error.js');
  const list: unknown = typeof module === 'object' && module !== null && 'errorCodes' in module ? module.errorCodes : undefined;
  const names = new Map<number, string>();
  if (Array.isArray(list))
    for (const one of list as { code?: unknown; type?: unknown }[])
      if (typeof one.code === 'number' && typeof one.type === 'string') names.set(one.code, one.type);
  return names;
}
