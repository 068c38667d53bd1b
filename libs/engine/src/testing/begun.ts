import { accepted, fixture, startRequest, type Fixture, type FixtureOptions } from './fixture.js';
import { GatedLog } from './gated-log.js';

export interface Begun extends Fixture {
  readonly gate: GatedLog;
  /** A playthrough on turn 0, in memory; its record stands at offset 0. */
  readonly id: string;
}

/** A fixture on a gated log (closed), started, with one playthrough begun. */
export async function begun(options: Omit<FixtureOptions, 'around'> = {}): Promise<Begun> {
  let gate: GatedLog | undefined;
  const fix = fixture({ ...options, around: (log) => (gate ??= new GatedLog(log)) });
  await fix.engine.start();
  const gated = gate as unknown as GatedLog;
  gated.open = true;
  const start = startRequest();
  await accepted(fix.engine.execute(start));
  gated.open = false;
  gated.appends.length = 0;
  gated.reads.length = 0;
  fix.cold.calls.length = 0;
  return { ...fix, gate: gated, id: start.id };
}
