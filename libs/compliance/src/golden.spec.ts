import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { UnknownEvent, type EventSchema, type RecordedEvent } from '#lib/decision';
import { applyRecordedCompliance, BrokenComplianceFold, complianceEvents, complianceStateHash } from './compliance-state.js';
import type { ComplianceEvent, ComplianceState } from './compliance-stream.js';
import { ADMIN, COMPLIANCE, DPO, erase, everything, Office, OPERATOR, SYSTEM } from './testing/office.js';

/*
 * Golden files are streams as they were once written: they must be readable for ever. `FABULA_TEST_WRITE_GOLDEN=1` writes those of today's
 * versions; files of older versions are never made again.
 */
const folder = path.join(__dirname, 'golden');

interface Golden {
  readonly events: readonly RecordedEvent[];
  readonly stateHashes: readonly string[];
}

function written(): Golden {
  const office = new Office();
  const later = (): void => void (office.now += 1_000);
  const erased = office.propose(DPO, erase('r-anna'));
  office.send(ADMIN, { type: 'approve', id: erased });
  office.send(SYSTEM, { type: 'begin', id: erased, judged: 0 });
  office.send(SYSTEM, { type: 'carriedOut', id: erased, result: { keys: 2 } });
  later();
  const hold = office.hold(everything);
  const short = office.hold({ kind: 'story', id: 'lighthouse' }, office.now + 500);
  const released = office.propose(DPO, { kind: 'release-hold', hold });
  office.send(COMPLIANCE, { type: 'approve', id: released });
  later();
  office.send(SYSTEM, { type: 'expire', id: short });
  const pruned = office.propose(ADMIN, { kind: 'prune', retention: 'children', what: 'log', before: [{ partition: 3, offset: 1_742 }] });
  office.send(DPO, { type: 'refuse', id: pruned, reason: 'not before the audit' });
  const key = office.propose(ADMIN, { kind: 'rotate-signing-key', newVkey: 'fabula.local+00000000+AAAA' });
  office.send(ADMIN, { type: 'withdraw', id: key });
  const kek = office.propose(ADMIN, { kind: 'rotate-kek', from: 'kek-1', to: 'kek-2' }, office.now + 100);
  later();
  office.send(SYSTEM, { type: 'expire', id: kek });
  office.propose(ADMIN, { kind: 'set-retention', retention: 'children', purpose: 'playing on', keepDays: null });
  const glass = {
    type: 'breakGlass',
    id: office.newId('g'),
    reason: 'an outage',
    until: office.now + 60_000,
    correlationId: 'b5052fa8',
  } as const;
  office.send(OPERATOR, glass);
  office.send(DPO, { type: 'closeGlass', id: glass.id });
  later();
  const forgotten = office.propose(ADMIN, { kind: 'prune', retention: 'play', what: 'log', before: [{ partition: 3, offset: 1_742 }] });
  office.send(DPO, { type: 'approve', id: forgotten });
  office.send(SYSTEM, { type: 'begin', id: forgotten, judged: office.placed });
  office.send(SYSTEM, { type: 'logBase', id: forgotten, partition: 3, offset: 1_742, digest: 'b'.repeat(64) });
  office.send(SYSTEM, { type: 'carriedOut', id: forgotten, result: { retention: 'play', what: 'log' } });
  return {
    events: office.events as readonly ComplianceEvent[] as readonly RecordedEvent[],
    stateHashes: office.events.map((event) => event.stateHash),
  };
}

if (process.env['FABULA_TEST_WRITE_GOLDEN'] !== undefined)
  writeFileSync(path.join(folder, 'compliance-v1.json'), `${JSON.stringify(written(), null, 2)}\n`);

const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
const read = (file: string): Golden => JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as Golden;

function hashesOf(golden: Golden, catalogue?: ReadonlyMap<string, EventSchema>): readonly string[] {
  let state: ComplianceState | null = null;
  return golden.events.map((event) => {
    state = applyRecordedCompliance(state, event, catalogue);
    return complianceStateHash(state);
  });
}

describe('compliance streams written by earlier versions', () => {
  it.each(files)('%s folds to the states it was written with', (file) => {
    const golden = read(file);
    expect(hashesOf(golden)).toEqual(golden.stateHashes);
    expect(golden.events.length).toBeGreaterThan(10);
  });

  it('hold every event type in every version', () => {
    const held = new Set(files.flatMap((file) => read(file).events.map((event) => `${event.type} v${event.v}`)));
    const known = [...complianceEvents].flatMap(([type, { version }]) => Array.from({ length: version }, (_, i) => `${type} v${i + 1}`));
    expect([...held].sort()).toEqual(known.sort());
  });

  it("are still written by today's decisions, event for event", () => {
    expect(written()).toEqual(read('compliance-v1.json'));
  });

  it('are brought to newer versions by upcasters, and refused when newer than this build or forged', () => {
    const later = new Map<string, EventSchema>(complianceEvents);
    later.set('HoldPlaced', { version: 2, upcasters: [(event) => ({ ...event, v: 2, court: 'none' })] });
    const golden = read('compliance-v1.json');
    expect(hashesOf(golden, later)).toEqual(golden.stateHashes);
    const [first, second] = golden.events as [RecordedEvent, RecordedEvent];
    expect(() => applyRecordedCompliance(null, { ...first, v: 2 })).toThrow(UnknownEvent);
    expect(() => applyRecordedCompliance(null, second)).toThrow(BrokenComplianceFold);
    expect(() => applyRecordedCompliance(null, { ...first, by: 'r-forged' })).toThrow(BrokenComplianceFold);
    expect(() => applyRecordedCompliance(null, { ...first, action: null })).toThrow(BrokenComplianceFold);
  });
});
