import { decodeAnswer, encodeRequest, metadataRequest } from './topic-metadata.js';

/** An answer of Metadata version 12 as a broker wrote it: one broker in rack "a", topic "t" with two partitions. */
const ANSWER = Buffer.from(
  [
    '00', // tagged fields of the header
    '00000000', // throttle time
    '02 00000001 0a 3132372e302e302e31 00002710 02 61 00', // brokers: 1, 127.0.0.1, 10000, rack a
    '02 63', // cluster id "c"
    '00000001', // controller
    '02', // one topic
    '0000 02 74', // no error, "t"
    '0123456789abcdef0123456789abcdef', // id
    '00', // not internal
    '03', // two partitions
    '0000 00000001 ffffffff 00000007 02 00000001 02 00000001 01 00',
    '0000 00000000 00000001 00000005 03 00000001 00000002 02 00000001 01 01 05 02 abcd', // with a tagged field nobody knows
    '80000000 00', // authorised operations
    '00',
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
);

describe('the metadata of a topic', () => {
  test('brings its id, its leaders with their epochs, and the racks of the brokers', () => {
    expect(decodeAnswer(ANSWER, 't')).toEqual({
      brokers: [{ nodeId: 1, host: '127.0.0.1', port: 10_000, rack: 'a' }],
      errorCode: 0,
      topicId: '01234567-89ab-cdef-0123-456789abcdef',
      partitions: [
        { errorCode: 0, partition: 0, leader: 1, leaderEpoch: 5, replicas: [1, 2], inSync: [1] },
        { errorCode: 0, partition: 1, leader: -1, leaderEpoch: 7, replicas: [1], inSync: [1] },
      ],
    });
  });

  test('is refused when the answer ends too early, lies about its length or speaks of another topic', () => {
    for (let length = 0; length < ANSWER.length - 1; length++)
      expect(() => decodeAnswer(ANSWER.subarray(0, length), 't')).toThrow(RangeError);
    const lying = Buffer.from(ANSWER);
    lying[5] = 0x7f;
    expect(() => decodeAnswer(lying, 't')).toThrow(RangeError);
    expect(() => decodeAnswer(ANSWER, 'u')).toThrow(/topic u/);
  });

  test('is asked for by name, without creating the topic', () => {
    const { buffer } = encodeRequest('fabula.x');
    expect(buffer.toString('hex')).toBe(`0002${'00'.repeat(16)}09${Buffer.from('fabula.x').toString('hex')}00${'0000'}00`);
    expect(metadataRequest('t').request).toMatchObject({ apiKey: 3, apiVersion: 12 });
    // A length that needs two bytes.
    expect(encodeRequest('n'.repeat(200)).buffer.subarray(18, 20).toString('hex')).toBe('c901');
  });
});
