import { checkHistory, type LogEntry } from './history-checker.js';
import type { Attempt, Saw } from './history.js';

const STREAM = 'playthrough/one';

/** A playthrough of `turns` choices, each sent and answered one after the other: attempts and log agree. */
function honest(turns: number): { attempts: Attempt[]; log: LogEntry[] } {
  const log: LogEntry[] = [];
  const attempts: Attempt[] = [];
  for (let i = 0; i <= turns; i++) {
    const payload = i === 0 ? 'start story' : `choose walk on turn ${i - 1}`;
    log.push({
      stream: STREAM,
      commandId: `c:${i}`,
      payload,
      partition: 1,
      offset: 10 + i,
      time: 1_000 + i,
      version: { before: i, after: i + 1 },
      turn: { before: i - 1, after: i },
      stateHash: `hash ${i}`,
    });
    attempts.push({ ...tried(i, payload), saw: acknowledged(i) });
  }
  return { attempts, log };
}
const tried = (i: number, payload: string): Omit<Attempt, 'saw'> => ({
  commandId: `c:${i}`,
  payload,
  stream: STREAM,
  turn: i - 1,
  sentAt: i * 10,
  endedAt: i * 10 + 5,
});
const acknowledged = (i: number, duplicate = false): Extract<Saw, { kind: 'accepted' }> => {
  return { kind: 'accepted', duplicate, stream: STREAM, partition: 1, offset: 10 + i, turn: i, stateHash: `hash ${i}` };
};
const check = ({ attempts, log }: { attempts: readonly Attempt[]; log: readonly LogEntry[] }): string[] =>
  checkHistory({ attempts, sightings: [] }, new Map([[STREAM, log]]));
const at = <T>(list: readonly T[], i: number): T => list[i] as T;

describe('The history checker', () => {
  it('finds nothing in honest histories with retries, losers, unknown outcomes and what they became', () => {
    const run = honest(6);
    run.attempts.push({ ...at(run.attempts, 3), sentAt: 90, endedAt: 95, saw: { ...acknowledged(3, true), stateHash: 'hash 6' } });
    run.attempts.push({ ...tried(20, 'choose door on turn 2'), turn: 2, saw: { kind: 'refused', code: 'TURN_STALE', turnNow: 3 } });
    run.attempts.push({ ...tried(21, 'choose door on turn 6'), saw: { kind: 'unknown', code: 'ECONNRESET' } });
    run.attempts.push({ ...tried(3, 'choose roll on turn 2'), saw: { kind: 'refused', code: 'COMMAND_REUSED' } });
    run.attempts.push({ ...tried(22, 'choose door on turn 6'), saw: { kind: 'no-effect', code: 'OVERLOADED' } });
    // Two that were under way together may come in either order.
    const early = { ...at(run.attempts, 5), sentAt: 39 };
    run.attempts[5] = early;
    expect(check(run)).toEqual([]);
    // An id that is older than the window, used for another command.
    const long = honest(70);
    const reused = 'choose walk on turn 69';
    long.log[70] = { ...at(long.log, 70), commandId: 'c:1', payload: reused };
    long.attempts[70] = { ...at(long.attempts, 70), commandId: 'c:1', payload: reused };
    expect(check(long)).toEqual([]);
    // An unknown outcome that took effect.
    const lost = honest(4);
    lost.attempts[4] = { ...at(lost.attempts, 4), saw: { kind: 'unknown', code: 'timeout' } };
    expect(check(lost)).toEqual([]);
  });

  type Run = ReturnType<typeof honest>;
  const planted: readonly (readonly [what: string, plant: (run: Run) => void, says: RegExp])[] = [
    ['an acknowledged turn that is lost at the tail', ({ log }) => void log.pop(), /acknowledged at p1@16, but the log does not have it/],
    ['an acknowledged turn that is lost in the middle', ({ log }) => void log.splice(3, 1), /decided on version 4, the stream had 3/],
    [
      'a command that took effect twice',
      ({ log }) => {
        const last = at(log, 6);
        log.push({ ...last, offset: 17, version: { before: 7, after: 8 }, turn: { before: 6, after: 7 }, commandId: 'c:4' });
      },
      /c:4 took effect 2 times/,
    ],
    [
      'two that took effect on one version',
      ({ log }) => void log.push({ ...at(log, 6), offset: 17, commandId: 'c:99' }),
      /decided on version 6, the/,
    ],
    ['a turn that was skipped', ({ log }) => void (log[6] = { ...at(log, 6), turn: { before: 5, after: 7 } }), /led from turn 5 to 7/],
    [
      'a turn that was taken on another state than the one before it left',
      ({ log }) => void (log[6] = { ...at(log, 6), turn: { before: 3, after: 6 } }),
      /taken on turn 3, the playthrough was on 5/,
    ],
    [
      'an answer that names another playthrough',
      ({ attempts }) => void (attempts[6] = { ...at(attempts, 6), saw: { ...acknowledged(6), stream: 'playthrough/two' } }),
      /acknowledged on playthrough\/two, it is on playthrough\/one/,
    ],
    [
      'an id that took effect for another command within the window',
      ({ log, attempts }) => {
        log[6] = { ...at(log, 6), commandId: 'c:2' };
        attempts[6] = { ...at(attempts, 6), commandId: 'c:2' };
      },
      /c:2 took effect 2 times/,
    ],
    [
      'another payload under the id',
      ({ log }) => void (log[4] = { ...at(log, 4), payload: 'choose door on turn 3' }),
      /has "choose door on turn 3"/,
    ],
    [
      'an answer with another position',
      ({ log }) => void (log[6] = { ...at(log, 6), offset: 18 }),
      /acknowledged at p1@16, it stands at p1@18/,
    ],
    ['an answer with another state', ({ log }) => void (log[6] = { ...at(log, 6), stateHash: 'other' }), /another state/],
    [
      'an answer with another turn',
      ({ attempts }) => void (attempts[6] = { ...at(attempts, 6), saw: { ...acknowledged(6), turn: 7 } }),
      /acknowledged as turn 7, it led to turn 6/,
    ],
    [
      'a loser that took effect',
      ({ attempts }) => void (attempts[6] = { ...at(attempts, 6), saw: { kind: 'refused', code: 'TURN_STALE', turnNow: 7 } }),
      /answered TURN_STALE, but it took effect/,
    ],
    [
      'a loser that took effect after an unknown outcome',
      ({ attempts }) => {
        const last = at(attempts, 6);
        attempts[6] = { ...last, saw: { kind: 'unknown', code: 'timeout' } };
        attempts.push({ ...last, saw: { kind: 'refused', code: 'TURN_STALE', turnNow: 9 } });
      },
      /answered TURN_STALE, but it took effect/,
    ],
    [
      'a refused command that took effect',
      ({ attempts }) => void (attempts[6] = { ...at(attempts, 6), saw: { kind: 'refused', code: 'CHOICE_LOCKED' } }),
      /every answer said that nothing happened/,
    ],
    [
      'a promise of no effect that is broken',
      ({ attempts }) => void (attempts[6] = { ...at(attempts, 6), saw: { kind: 'no-effect', code: 'LOG_UNAVAILABLE' } }),
      /every answer said that nothing happened/,
    ],
    [
      'COMMAND_REUSED where nothing was used',
      ({ attempts }) => void attempts.push({ ...tried(50, 'choose walk on turn 6'), saw: { kind: 'refused', code: 'COMMAND_REUSED' } }),
      /but nothing else used it/,
    ],
    [
      'an order that contradicts real time',
      ({ attempts }) => void (attempts[3] = { ...at(attempts, 3), sentAt: 1_000, endedAt: 1_005 }),
      /acknowledged before it was sent/,
    ],
    ['a record that moved to another place', ({ log }) => void (log[6] = { ...at(log, 6), partition: 0 }), /stands behind/],
  ];
  it.each(planted)('finds %s', (_what, plant, says) => {
    const run = honest(6);
    plant(run);
    expect(check(run).join('\n')).toMatch(says);
  });

  it('finds a command that took effect on two playthroughs, and not two commands that share an id there', () => {
    const fork = { ...at(honest(0).log, 0), commandId: 'c:f', payload: 'fork one at turn 0' };
    const twice = new Map([
      ['playthrough/a', [{ ...fork, stream: 'playthrough/a' }]],
      ['playthrough/b', [{ ...fork, stream: 'playthrough/b', partition: 0 }]],
    ]);
    expect(checkHistory({ attempts: [], sightings: [] }, twice)).toEqual(['c:f took effect 2 times: at p1@10 and p0@10']);
    twice.set('playthrough/b', [{ ...fork, stream: 'playthrough/b', partition: 0, payload: 'start story' }]);
    expect(checkHistory({ attempts: [], sightings: [] }, twice)).toEqual([]);
  });

  it('finds a state that was shown and never was', () => {
    const { attempts, log } = honest(3);
    const sightings = [
      { stream: STREAM, turn: 2, stateHash: 'hash 2' },
      { stream: STREAM, turn: 2, stateHash: 'hash 3' },
    ];
    expect(checkHistory({ attempts, sightings }, new Map([[STREAM, log]]))).toEqual([
      `${STREAM} was shown on turn 2 in a state that the log never had`,
    ]);
  });

  it('is quick on long histories and says how much more is wrong', () => {
    const run = honest(50_000);
    expect(check(run)).toEqual([]);
    expect(check({ attempts: run.attempts, log: [] })).toHaveLength(51);
  });
});
