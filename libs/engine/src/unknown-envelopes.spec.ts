import type { LogRecord } from '#lib/log';
import { sha256Hex } from '#lib/canonical';
import { Engine } from './engine.js';
import { accepted, chooseRequest, failure, fixture, startRequest, type Fixture } from './testing/fixture.js';
import { settled } from './testing/hand-time.js';

const FUTURE: LogRecord = { key: 'x', value: Buffer.from('{"v":2}') };
const LOOK_AGAIN_MS = 2_000;

/** An engine that asks by hand what operators released; every question is kept. */
function withReleases(fix: Fixture) {
  const asked: string[] = [];
  let answer: () => boolean = () => false;
  const { log, cold, time, ids, content } = fix;
  const engine = new Engine({
    log,
    cold,
    content,
    ids,
    clock: time,
    timers: time,
    onMetric: (name) => void fix.metrics.push(name),
    onAlarm: (message) => void fix.alarms.push(message),
    releases: {
      has: async (partition, offset, digest) => {
        asked.push(`${partition}/${offset} ${digest}`);
        return answer();
      },
    },
  });
  return { engine, asked, answers: (say: () => boolean) => (answer = say) };
}

describe('A record of a newer Fabula', () => {
  it('halts the partition that meets it while writing; released, it counts for nothing and the partition goes on', async () => {
    const fix = fixture();
    const { engine, asked, answers } = withReleases(fix);
    await engine.start();
    const start = startRequest();
    await accepted(engine.execute(start));
    await fix.log.append(0, [FUTURE]);
    expect(asked).toEqual([]);
    const walk = chooseRequest(start.id, 0);
    expect(await failure(engine.execute(walk))).toBe('OUTCOME_UNKNOWN');
    expect([...engine.problems()]).toEqual([[0, expect.stringContaining('the record at offset 1 has envelope version 2')]]);
    expect(await failure(engine.execute(walk))).toBe('LOG_UNAVAILABLE');

    for (let look = 0; look < 3; look++) await fix.time.pass(LOOK_AGAIN_MS);
    expect(engine.problems().size).toBe(1);
    expect(new Set(asked)).toEqual(new Set([`0/1 ${sha256Hex(Buffer.from(FUTURE.value))}`]));
    answers(() => true);
    await fix.time.pass(LOOK_AGAIN_MS);
    expect(engine.problems().size).toBe(0);
    // It was appended before the partition halted: the retry takes no second effect.
    expect(await accepted(engine.execute(walk))).toMatchObject({ turn: 1, offset: 2, duplicate: true });
    expect(await accepted(engine.execute(chooseRequest(start.id, 1)))).toMatchObject({ turn: 2, duplicate: false });
    expect(await fix.log.end(0)).toBe(4);
    await engine.stop();
  });

  it('halts a recovery; the partition is recovered anew, past several of them, once all are released', async () => {
    const fix = fixture();
    await fix.log.append(0, [FUTURE, FUTURE]);
    const { engine, asked, answers } = withReleases(fix);
    await engine.start();
    expect([...engine.problems().keys()]).toEqual([0]);
    answers(() => asked.at(-1)?.startsWith('0/0 ') === true);
    await fix.time.pass(LOOK_AGAIN_MS);
    expect([...engine.problems().values()]).toEqual([expect.stringContaining('at offset 1 ')]);
    answers(() => true);
    await fix.time.pass(LOOK_AGAIN_MS);
    expect(engine.problems().size).toBe(0);
    await accepted(engine.execute(startRequest()));
    await engine.stop();
  });

  it('is asked about again when nobody could say, and no longer once the partition was given away', async () => {
    const fix = fixture();
    await fix.log.append(0, [FUTURE]);
    const { engine, asked, answers } = withReleases(fix);
    await engine.start();
    answers(() => {
      throw new Error('the database is away');
    });
    await fix.time.pass(LOOK_AGAIN_MS);
    expect(fix.metrics).toContain('releases_unknown');
    expect(engine.problems().size).toBe(1);
    answers(() => false);
    await fix.time.pass(LOOK_AGAIN_MS);
    const before = asked.length;
    expect(before).toBeGreaterThan(2);
    await engine.release(0);
    await fix.time.pass(10 * LOOK_AGAIN_MS);
    await settled();
    expect(asked.length).toBe(before);
    expect(engine.problems().size).toBe(0);
  });
});
