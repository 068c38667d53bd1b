import fc from 'fast-check';
import { canonicalJson } from '#lib/canonical';
import { admissible, decodeRecord, MAX_RECORD_BYTES, partitionOf, type DecisionRecord } from '#lib/decision';
import { NO_RELEASES, type EventLog, type LogRecord } from '#lib/log';
import { foldRecord, mergeTail } from './cold-loader.js';
import { playthroughKind, kindOf } from './kinds.js';
import { DEFAULT_LIMITS } from './limits.js';
import { PartitionState } from './partition-state.js';
import { accepted, chooseRequest, failure, fixture, startRequest } from './testing/fixture.js';

/** The bytes of a playthrough of some turns, as another engine wrote them. */
async function written(turns: number): Promise<{ id: string; stream: string; values: readonly Uint8Array[] }> {
  const fix = fixture();
  await fix.engine.start();
  const start = startRequest();
  await accepted(fix.engine.execute(start));
  for (let turn = 0; turn < turns; turn++) await accepted(fix.engine.execute(chooseRequest(start.id, turn)));
  await fix.engine.stop();
  const values: Uint8Array[] = [];
  for await (const { records } of fix.log.read(0, 0, { upTo: turns + 1 })) values.push(...records.map(({ value }) => value));
  return { id: start.id, stream: start.stream, values };
}

const changed = (value: Uint8Array, change: (record: DecisionRecord) => object): Uint8Array =>
  Buffer.from(canonicalJson(change(JSON.parse(Buffer.from(value).toString()) as DecisionRecord)));
const append = (key: string, value: Uint8Array): readonly LogRecord[] => [{ key, value }];

describe('A record of the tail that nobody had asked for when it was read', () => {
  it('counts for nothing when it turns out to be damaged, and the playthrough goes on', async () => {
    const fix = fixture();
    const { id, stream, values } = await written(2);
    const [start, first, second] = values as [Uint8Array, Uint8Array, Uint8Array];
    await fix.log.append(0, append(stream, start));
    await fix.log.append(0, append(stream, Buffer.concat([Buffer.from('{'), first])));
    await fix.log.append(0, append(stream, Buffer.from(`no JSON,"stream":"${stream}","v":1}`)));
    await fix.log.append(
      0,
      append(
        stream,
        changed(first, (record) => ({ ...record, eventCount: 2 })),
      ),
    );
    await fix.log.append(0, append(stream, first));
    await fix.log.append(0, append(stream, Buffer.from(Buffer.from(second).toString().replace('"at":', '"at":-'))));
    await fix.engine.start();
    expect(fix.engine.problems().size).toBe(0);
    expect(await accepted(fix.engine.execute(chooseRequest(id, 1)))).toMatchObject({ turn: 2, version: 3, offset: 6 });
    expect(fix.alarms).toEqual([]);
    await fix.engine.stop();
  });

  it('parks its playthrough when its events cannot be folded, for each command until it is mended; others go on', async () => {
    const fix = fixture();
    const [one, other] = [await written(1), await written(1)];
    const broken = changed(one.values[1] as Uint8Array, (record) => ({
      ...record,
      events: record.events.map((event) => ({ ...event, type: 'NeverHeardOf' })),
    }));
    for (const value of [one.values[0] as Uint8Array, broken]) await fix.log.append(0, append(one.stream, value));
    for (const value of other.values) await fix.log.append(0, append(other.stream, value));
    await fix.engine.start();
    expect(fix.engine.problems().size).toBe(0);
    expect(await failure(fix.engine.execute(chooseRequest(one.id, 1)))).toBe('PLAYTHROUGH_PARKED');
    expect(await failure(fix.engine.execute(chooseRequest(one.id, 1)))).toBe('PLAYTHROUGH_PARKED');
    expect(await accepted(fix.engine.execute(chooseRequest(other.id, 1)))).toMatchObject({ turn: 2 });
    await fix.engine.stop();
  });

  it('of a stream of another partition counts for nothing', async () => {
    const fix = fixture({ partitions: 2 });
    const { id, stream, values } = await written(1);
    const home = partitionOf(stream, 2);
    await fix.log.append(1 - home, append(stream, values[0] as Uint8Array));
    await fix.engine.start();
    expect(await failure(fix.engine.execute(chooseRequest(id, 0)))).toBe('rejected PLAYTHROUGH_NOT_FOUND');
    for (const value of values) await fix.log.append(home, append(stream, value));
    await fix.engine.stop();
    const next = fix.another();
    await next.start();
    expect(await accepted(next.execute(chooseRequest(id, 1)))).toMatchObject({ turn: 2, offset: 2 });
    await next.stop();
  });

  it('takes no room when it is larger than any of Fabula’s own: it counts for nothing', async () => {
    const fix = fixture();
    const { stream, values } = await written(1);
    const huge = Buffer.from(`{"padding":"${'x'.repeat(MAX_RECORD_BYTES)}","stream":"${stream}","v":1}`);
    const [start, first] = values as [Uint8Array, Uint8Array];
    for (const value of [start, Buffer.from('grows'), first, Buffer.from('grows')]) await fix.log.append(0, append(stream, value));
    // No log of ours takes it; something else may have written it to Kafka or Postgres.
    const log = Object.create(fix.log) as EventLog;
    log.read = async function* (...asked) {
      for await (const batch of fix.log.read(...asked))
        yield { ...batch, records: batch.records.map((one) => (one.value.length === 5 ? { ...one, value: huge } : one)) };
    };
    const limits = { ...DEFAULT_LIMITS, tailBytes: MAX_RECORD_BYTES };
    const context = { log, cold: fix.cold, limits, kindOf, releases: NO_RELEASES, onChange: () => undefined };
    const state = new PartitionState(0, context, new AbortController().signal);
    await state.recover();
    expect([state.next, state.crowded]).toEqual([4, false]);
    expect(state.tailBytes).toBeGreaterThan(start.length + first.length);
    const installed = await state.install({ position: 0, streams: [stream], rows: new Map() });
    expect(installed.get(stream)).toMatchObject({ head: { version: 2 }, lastOffset: 2 });
  });

  it('leads to the state that decoding each record at once leads to, whatever stands in the log', async () => {
    const plays = [await written(4), await written(4)];
    const genuine = fc.record({ play: fc.nat(1), record: fc.nat(4) });
    const damage = fc.oneof(
      { weight: 6, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.record({ at: fc.nat(2_000), byte: fc.nat(255) }) },
    );
    const step = fc.record({ genuine, damage });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), fc.constantFrom(1_000, DEFAULT_LIMITS.tailBytes), async (steps, tailBytes) => {
        const fix = fixture();
        const eager = plays.map(({ stream }) => mergeTail(stream, playthroughKind, undefined, []));
        // In order first, so that much is accepted; then whatever comes.
        const order = [0, 1, 2].flatMap((record) => [0, 1].map((play) => ({ genuine: { play, record }, damage: undefined })));
        for (const [offset, { genuine: which, damage: hurt }] of [...order, ...steps].entries()) {
          const { stream, values } = plays[which.play] as (typeof plays)[number];
          const value = Buffer.from(values[which.record] as Uint8Array);
          if (hurt !== undefined) value[hurt.at % value.length] = hurt.byte;
          const decoded = decodeRecord(value);
          if (decoded.kind === 'unknown-envelope') return;
          await fix.log.append(0, append(stream, value));
          if (!admissible(decoded, 0, 1)) continue;
          const hot = eager.find((one) => one.stream === decoded.record.stream);
          if (hot !== undefined) foldRecord(hot, { record: decoded.record, digest: decoded.digest, offset });
        }
        const limits = { ...DEFAULT_LIMITS, tailBytes };
        const context = { log: fix.log, cold: fix.cold, limits, kindOf, releases: NO_RELEASES, onChange: () => undefined };
        const state = new PartitionState(0, context, new AbortController().signal);
        await state.recover();
        const installed = await state.install({ position: 0, streams: plays.map(({ stream }) => stream), rows: new Map() });
        for (const hot of eager) expect(installed.get(hot.stream)).toEqual(hot);
      }),
      { numRuns: 60 },
    );
  });
});
