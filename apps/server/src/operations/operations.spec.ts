import { Degradations } from './degradations.js';
import { RecentCommands } from './recent-commands.js';

function handClock(): { now(): number; pass(ms: number): void } {
  let ms = 1_800_000_000_000;
  return { now: () => ms, pass: (more) => void (ms += more) };
}

describe('the commands of the last minute', () => {
  it('are counted with their outcomes, their rate and how long they took', () => {
    const clock = handClock();
    const recent = new RecentCommands(clock);
    for (let i = 0; i < 98; i++) {
      recent.note(i % 2 === 0 ? 'accepted' : 'TURN_STALE', 4);
      clock.pass(100);
    }
    recent.note('accepted', 180);
    recent.note('OUTCOME_UNKNOWN', 90_000);
    expect(recent.report()).toEqual({
      overSeconds: 60,
      perSecond: 1.67,
      p50Ms: 5,
      p95Ms: 5,
      p99Ms: 200,
      outcomes: { accepted: 50, TURN_STALE: 49, OUTCOME_UNKNOWN: 1 },
    });
  });

  it('are forgotten after it, also when nothing comes any more', () => {
    const clock = handClock();
    const recent = new RecentCommands(clock);
    recent.note('accepted', 1);
    clock.pass(59_000);
    recent.note('duplicate', 1);
    expect(recent.report().outcomes).toEqual({ accepted: 1, duplicate: 1 });
    clock.pass(1_000);
    expect(recent.report().outcomes).toEqual({ duplicate: 1 });
    clock.pass(120_000);
    expect(recent.report()).toMatchObject({ perSecond: 0, p50Ms: null, p99Ms: null, outcomes: {} });
  });

  it('take bounded memory whatever their outcomes are called', () => {
    const clock = handClock();
    const recent = new RecentCommands(clock);
    for (let i = 0; i < 1_000; i++) recent.note(`outcome ${i}`, 1);
    const { outcomes } = recent.report();
    expect(Object.keys(outcomes)).toHaveLength(51);
    expect(outcomes['other']).toBe(950);
  });
});

describe('what is degraded', () => {
  const late = { who: 'projector p0', why: '10 records behind', whatToDo: 'wait' };

  it('is dated from when it was first seen until it has ended', () => {
    const clock = handClock();
    const degradations = new Degradations(clock);
    const began = clock.now();
    expect(degradations.dated([late])).toEqual([{ ...late, since: began }]);
    clock.pass(5_000);
    expect(degradations.dated([{ ...late, why: '20 records behind' }])).toEqual([{ ...late, why: '20 records behind', since: began }]);
    expect(degradations.dated([])).toEqual([]);
    clock.pass(5_000);
    expect(degradations.dated([late])).toEqual([{ ...late, since: began + 10_000 }]);
  });

  it('keeps the date that its own source knows', () => {
    const clock = handClock();
    expect(new Degradations(clock).dated([{ ...late, since: 7 }])).toEqual([{ ...late, since: 7 }]);
  });
});
