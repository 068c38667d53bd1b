import { randomUUID } from 'node:crypto';
import { freePort } from '#lib/platform';
import { startCutOffProxy } from '../../../../test/support/cut-off-proxy.js';
import { startEventStoreDbMock, type EventStoreDbMock } from '../../../../test/support/eventstoredb-mock.js';
import { describeWith } from '../../../../test/support/requirement.js';
import { describeEventLog, readAll } from '../contract/event-log-contract.js';
import { LogRefused, LogUnavailable, OutcomeUnknown, RecordsForgotten, type EventLog, type StoredRecord } from '../event-log.js';
import { PartitionCountDiffers } from '../postgres/log-identity.js';
import { LogDamaged } from '../postgres/postgres-log.js';
import { findEventStoreDbLog, openEventStoreDbLog } from './eventstoredb-log.js';

/** Logs of their own on one server, by prefix. */
function logsOn(url: () => string) {
  const prefixes = new Map<EventLog, string>();
  const open = async (prefix: string, partitions: number): Promise<EventLog> => {
    const log = await openEventStoreDbLog({ url: url(), partitions, prefix });
    prefixes.set(log, prefix);
    return log;
  };
  return {
    create: (partitions: number) => open(`test-${randomUUID()}`, partitions),
    reopen: (log: EventLog) => open(prefixes.get(log) ?? '', log.partitions),
  };
}

const record = (value: string) => ({ key: 'playthrough/x', value: Buffer.from(value) });
const texts = (records: readonly StoredRecord[]) => records.map((one) => Buffer.from(one.value).toString());

describe('on a mock of EventStoreDB', () => {
  let mock: EventStoreDbMock;
  beforeAll(async () => {
    mock = await startEventStoreDbMock();
  });
  afterAll(() => mock.stop());

  describeEventLog('the EventStoreDB log on the mock', () => logsOn(() => mock.url));

  test('of many processes that create a log at once, one does, and all read the same id', async () => {
    const prefix = randomUUID();
    const logs = await Promise.all(Array.from({ length: 8 }, () => openEventStoreDbLog({ url: mock.url, partitions: 2, prefix })));
    const ids = new Set(await Promise.all(logs.map((log) => log.id())));
    expect(ids.size).toBe(1);
    expect(mock.streams.state(`${prefix}-log`)).toMatchObject({ end: 1 });
    expect(await findEventStoreDbLog({ url: mock.url, prefix })).toEqual({ id: [...ids][0], partitions: 2 });
    await Promise.all(logs.map((log) => log.close()));
  });

  test('another partition count is refused, with the one that was written', async () => {
    const prefix = randomUUID();
    const log = await openEventStoreDbLog({ url: mock.url, partitions: 2, prefix });
    await log.close();
    await expect(openEventStoreDbLog({ url: mock.url, partitions: 4, prefix })).rejects.toThrow(PartitionCountDiffers);
    expect(await findEventStoreDbLog({ url: mock.url, prefix: randomUUID() })).toBeUndefined();
  });

  test('a node of a cluster is found by gossip', async () => {
    const url = mock.url.replace('esdb:', 'esdb+discover:');
    const log = await openEventStoreDbLog({ url, partitions: 1, prefix: randomUUID() });
    expect(await log.append(0, [record('a')])).toBe(0);
    await log.close();
    expect(mock.calls).toContain('gossip');
  });

  test("the client's batch append, which loses answers, is not used although the server offers it", async () => {
    const log = await openEventStoreDbLog({ url: mock.url, partitions: 1, prefix: randomUUID() });
    await log.append(0, [record('a'), record('b')]);
    await log.close();
    expect(mock.calls).toContain('append');
    expect(mock.calls).not.toContain('batchAppend');
  });

  test('a writer that others came before learns where the stream ends and loses no order', async () => {
    const prefix = randomUUID();
    const options = { url: mock.url, partitions: 1, prefix };
    const [one, other] = [await openEventStoreDbLog(options), await openEventStoreDbLog(options)];
    expect(await one.append(0, [record('1')])).toBe(0);
    expect(await other.append(0, [record('2'), record('3')])).toBe(1);
    expect(await one.append(0, [record('4')])).toBe(3);
    expect(texts(await readAll(one, 0, 0, 4))).toEqual(['1', '2', '3', '4']);
    await Promise.all([one.close(), other.close()]);
  });

  test('what somebody else wrote into the stream keeps its offset and comes as it is', async () => {
    const prefix = randomUUID();
    const log = await openEventStoreDbLog({ url: mock.url, partitions: 1, prefix });
    const foreign = {
      id: randomUUID(),
      type: 'x',
      contentType: 'application/json',
      data: Buffer.from('{"a" :1}'),
      metadata: new Uint8Array(),
    };
    mock.streams.append(`${prefix}-decisions-0`, { kind: 'any' }, [foreign]);
    expect(await log.append(0, [record('ours')])).toBe(1);
    const records = await readAll(log, 0, 0, 2);
    expect(texts(records)).toEqual(['{"a":1}', 'ours']);
    expect(records[0]?.key).toBe('');
    await log.close();
  });

  describe('a stream that can no longer be trusted is refused at start:', () => {
    const damages: readonly [string, (stream: string) => void][] = [
      ['a longest age', (stream) => mock.streams.setMetadata(stream, { $maxAge: 3_600 })],
      ['a largest count', (stream) => mock.streams.setMetadata(stream, { $maxCount: 1_000 })],
      ['its beginning cut off', (stream) => mock.streams.setMetadata(stream, { $tb: 1 })],
      ['deleted', (stream) => mock.streams.delete(stream)],
      ['tombstoned', (stream) => mock.streams.tombstone(stream)],
    ];
    test.each(damages)('%s', async (_what, damage) => {
      const prefix = randomUUID();
      const options = { url: mock.url, partitions: 2, prefix };
      const log = await openEventStoreDbLog(options);
      await log.append(1, [record('a'), record('b')]);
      await log.close();
      damage(`${prefix}-decisions-1`);
      await expect(openEventStoreDbLog(options)).rejects.toThrow(LogDamaged);
    });

    test('a reader that meets a hole stops there, after what came before', async () => {
      const prefix = randomUUID();
      const log = await openEventStoreDbLog({ url: mock.url, partitions: 1, prefix });
      await log.append(0, [record('a'), record('b'), record('c')]);
      mock.streams.setMetadata(`${prefix}-decisions-0`, { $tb: 2 });
      await expect(readAll(log, 0, 0, 3)).rejects.toThrow(/no record at revision 0; the next one is 2/);
      await expect(log.read(0, 0)[Symbol.asyncIterator]().next()).rejects.toThrow(LogDamaged);
      await log.close();
    });

    test('what Fabula forgot is not taken for damage, and what somebody cut beyond it is', async () => {
      const prefix = randomUUID();
      const stream = `${prefix}-decisions-0`;
      const options = { url: mock.url, partitions: 1, prefix };
      const log = await openEventStoreDbLog(options);
      await log.append(0, [record('a'), record('b'), record('c')]);
      const acl = { $acl: { $r: 'readers' } };
      mock.streams.setMetadata(stream, acl);
      // Two at once: neither undoes the other, nor what operators have set.
      await Promise.all([log.forget(0, 1), log.forget(0, 3)]);
      expect(mock.streams.metadata(stream)).toEqual({ ...acl, $tb: 2, 'fabula-begin': 3 });
      await log.close();
      const again = await openEventStoreDbLog(options);
      expect([await again.begin(0), await again.end(0)]).toEqual([3, 3]);
      // The server still has the last one, and no reader gets it.
      expect(mock.streams.state(stream)).toMatchObject({ begin: 2, end: 3 });
      await expect(readAll(again, 0, 2, 3)).rejects.toThrow(RecordsForgotten);
      expect(await again.append(0, [record('d'), record('e')])).toBe(3);
      expect(texts(await readAll(again, 0, 3, 5))).toEqual(['d', 'e']);
      await again.close();
      mock.streams.setMetadata(stream, { $tb: 4, 'fabula-begin': 3 });
      await expect(openEventStoreDbLog(options)).rejects.toThrow(/set to lose records \(\$tb = 4\)/);
      mock.streams.setMetadata(stream, { $tb: 2, 'fabula-begin': 'x' });
      await expect(openEventStoreDbLog(options)).rejects.toThrow(/names no offset as its fabula-begin: x/);
    });

    test('a stream put back to an older state is told from one that grew', async () => {
      const prefix = randomUUID();
      const log = await openEventStoreDbLog({ url: mock.url, partitions: 1, prefix });
      await log.append(0, [record('a'), record('b'), record('c')]);
      mock.streams.cutTo(`${prefix}-decisions-0`, 1);
      await expect(log.append(0, [record('d')])).rejects.toThrow(LogDamaged);
      await expect(log.end(0)).rejects.toThrow(/ended at 3 and now ends at 1/);
      await log.close();
    });
  });

  describe('when the connection fails', () => {
    test('an answer that is lost after the server stored the batch is unknown, nothing is lost, and a second try is told apart', async () => {
      const proxy = await startCutOffProxy(mock.port);
      const prefix = randomUUID();
      const log = await openEventStoreDbLog({ url: `esdb://127.0.0.1:${proxy.port}?tls=false`, partitions: 1, prefix });
      await log.append(0, [record('0')]);
      proxy.swallowAnswers();
      const unknown = expect(log.append(0, [record('1'), record('2')])).rejects.toThrow(OutcomeUnknown);
      while ((mock.streams.state(`${prefix}-decisions-0`) as { end: number }).end < 3) await mock.streams.grown(`${prefix}-decisions-0`);
      proxy.cut();
      await unknown;
      // The same bytes again, as the engine does: they land behind what was stored.
      expect(await log.append(0, [record('1'), record('2')])).toBe(3);
      expect(texts(await readAll(log, 0, 0, 5))).toEqual(['0', '1', '2', '1', '2']);
      await log.close();
      await proxy.close();
    });

    test('no answer until the deadline is unknown; the late copy finds its place taken and is not stored', async () => {
      const prefix = randomUUID();
      const log = await openEventStoreDbLog({ url: mock.url, partitions: 1, prefix, deadlineMs: 300 });
      await log.append(0, [record('0')]);
      const release = mock.holdAppends();
      await expect(log.append(0, [record('late')])).rejects.toThrow(OutcomeUnknown);
      const other = await openEventStoreDbLog({ url: mock.url, partitions: 1, prefix, deadlineMs: 20_000 });
      const again = other.append(0, [record('other')]);
      release();
      const base = await again;
      const end = await log.end(0);
      const stored = texts(await readAll(log, 0, 0, end));
      // Whichever came first had its place; both are there at most once, and the second try knows where it is.
      expect(stored[base]).toBe('other');
      expect(new Set(stored).size).toBe(stored.length);
      await Promise.all([log.close(), other.close()]);
    });

    test('a server that is not there takes nothing: unavailable, not unknown', async () => {
      const nobody = await freePort();
      await expect(openEventStoreDbLog({ url: `esdb://127.0.0.1:${nobody}?tls=false`, partitions: 1 })).rejects.toThrow(LogUnavailable);
      const own = await startEventStoreDbMock();
      const log = await openEventStoreDbLog({ url: own.url, partitions: 1 });
      await log.append(0, [record('0')]);
      await own.stop();
      // The first call may still find the old connection, and cannot know what became of it.
      await log.append(0, [record('1')]).catch((error: unknown) => expect(error).toBeInstanceOf(Error));
      await expect(log.append(0, [record('1')])).rejects.toThrow(LogUnavailable);
      await expect(log.end(0)).rejects.toThrow(LogUnavailable);
      await own.start();
      expect(await log.append(0, [record('1')])).toBe(1);
      await log.close();
      await own.stop();
    });

    test('a reader at the tail whose connection is dropped is told, and goes on from its own position', async () => {
      const proxy = await startCutOffProxy(mock.port);
      const log = await openEventStoreDbLog({ url: `esdb://127.0.0.1:${proxy.port}?tls=false`, partitions: 1, prefix: randomUUID() });
      await log.append(0, [record('0')]);
      const reader = log.read(0, 0)[Symbol.asyncIterator]();
      expect(texts((await reader.next()).value?.records ?? [])).toEqual(['0']);
      const waiting = expect(reader.next()).rejects.toThrow(LogUnavailable);
      proxy.cut();
      await waiting;
      expect(await log.append(0, [record('1')])).toBe(1);
      const again = log.read(0, 1)[Symbol.asyncIterator]();
      expect(texts((await again.next()).value?.records ?? [])).toEqual(['1']);
      await log.close();
      await proxy.close();
    });

    test('who may not write is refused for good', async () => {
      const log = await openEventStoreDbLog({ url: mock.url, partitions: 1, prefix: randomUUID() });
      mock.allowWrites(false);
      await expect(log.append(0, [record('0')])).rejects.toThrow(LogRefused);
      mock.allowWrites(true);
      await log.append(0, [record('0')]);
      mock.allowWrites(false);
      await expect(log.forget(0, 1)).rejects.toThrow(LogRefused);
      mock.allowWrites(true);
      expect(await log.begin(0)).toBe(0);
      await log.close();
    });
  });

  test('a slow reader holds the server back instead of filling its memory', async () => {
    const log = await openEventStoreDbLog({ url: mock.url, partitions: 1, prefix: randomUUID() });
    const value = Buffer.alloc(100_000);
    for (let batch = 0; batch < 60; batch++)
      await log.append(
        0,
        Array.from({ length: 7 }, () => ({ key: 'k', value })),
      );
    const before = mock.eventsSent();
    const reader = log.read(0, 0)[Symbol.asyncIterator]();
    let records = (await reader.next()).value?.records.length ?? 0;
    // Until the server sends no more, for as long as another log takes 50 appends.
    const other = await openEventStoreDbLog({ url: mock.url, partitions: 1, prefix: randomUUID() });
    for (let sent = -1; sent !== mock.eventsSent();) {
      sent = mock.eventsSent();
      for (let index = 0; index < 50; index++) await other.append(0, [record(`${index}`)]);
    }
    await other.close();
    expect(mock.eventsSent() - before).toBeLessThan(420);
    while (records < 420) records += (await reader.next()).value?.records.length ?? 0;
    expect(records).toBe(420);
    // What the server has not sent yet is forgotten meanwhile: said after what it did send, and not taken for a hole.
    const late = log.read(0, 0)[Symbol.asyncIterator]();
    records = (await late.next()).value?.records.length ?? 0;
    await log.forget(0, 419);
    const rest = (async () => {
      for (let page = await late.next(); page.done !== true; page = await late.next()) records += page.value.records.length;
    })();
    await expect(rest).rejects.toThrow(RecordsForgotten);
    await expect(rest).rejects.toMatchObject({ from: records, begin: 419 });
    await log.close();
  });

  test('an address that cannot be read is refused without repeating its password', async () => {
    const opened = openEventStoreDbLog({ url: 'esdb://admin:s3cret@host:port', partitions: 1 });
    await expect(opened).rejects.toThrow(/EVENTSTOREDB_URL cannot be read/);
    await expect(opened).rejects.not.toThrow(/s3cret/);
  });
});

const realServer = process.env['EVENTSTOREDB_URL'];
describeWith(
  'eventstoredb',
  realServer !== undefined,
  'EVENTSTOREDB_URL names no server: only the mock was tested',
  'on a real EventStoreDB',
  () => describeEventLog('the EventStoreDB log', () => logsOn(() => realServer ?? '')),
);
