import type { DecisionRecord, RecordedEvent } from '#lib/decision';
import type { StoredRecord } from '#lib/log';
import { createMemoryLog } from '#lib/log';
import { writeRandomHistory } from './contract/random-history.js';
import { appendPoison } from './contract/poison.js';
import { DriftCounts, KNOWN_FIELDS, type Drift } from './drift.js';
import { MemoryProjection } from './memory-projection.js';
import { Projector } from './projector.js';
import { STREAM_KINDS } from './stream-kinds.js';

const timers = { after: () => () => undefined };
const kind = STREAM_KINDS.get('playthrough');

function drift(record: object, headers?: Record<string, string>): readonly Drift[] {
  const counts = new DriftCounts(KNOWN_FIELDS);
  const stored: StoredRecord = { key: 'x', value: new Uint8Array(), offset: 0, time: 0, ...(headers && { headers }) };
  counts.note({ events: [], ...record } as unknown as DecisionRecord, stored, kind);
  return counts.all();
}
const events = (...given: object[]): { events: readonly RecordedEvent[] } => ({ events: given as RecordedEvent[] });

describe('Drift', () => {
  it('is what records, headers and events hold beyond the schemas; few names, whoever chose them', () => {
    expect(drift({ v: 1, stream: 's', novelty: 1, another: 2 })).toEqual([{ what: 'unknown_field', type: 'record', count: 2 }]);
    expect(drift({}, { traceparent: 't', TraceState: 's', 'x-mine': 'm' })).toEqual([{ what: 'unknown_header', type: 'record', count: 1 }]);
    expect(drift(events({ type: 'Evil'.repeat(100), v: 1 }, { type: 'Another', v: 1 }))).toEqual([
      { what: 'unknown_type', type: 'other', count: 2 },
    ]);
    expect(drift(events({ type: 'ChoiceMade', v: 99 }, { type: 'ChoiceMade', v: 0 }))).toEqual([
      { what: 'unknown_version', type: 'ChoiceMade', count: 2 },
    ]);
    expect(drift(events({ type: 'ChoiceMade', v: 1, turn: 1, mood: 'grim' }))).toEqual([
      { what: 'unknown_field', type: 'ChoiceMade', count: 1 },
    ]);
  });

  it('is told of by the projector once the batch is committed, and there is none in what Fabula itself writes', async () => {
    const log = createMemoryLog({ partitions: 1, clock: { now: () => 1 } });
    await writeRandomHistory(log, { seed: 11, partitions: 1, playthroughs: 5, records: 150, mischief: 0 });
    const told: Drift[] = [];
    const open = async (): Promise<Projector> =>
      Projector.open({ log, store, timers, knownFields: KNOWN_FIELDS, onDrift: (found) => told.push(...found) });
    const store = new MemoryProjection();
    await (await open()).catchUp(0);
    expect(told).toEqual([]);
    await appendPoison(log);
    await (await open()).catchUp(0);
    expect(told).toEqual([{ what: 'unknown_type', type: 'other', count: 1 }]);
  });
});
