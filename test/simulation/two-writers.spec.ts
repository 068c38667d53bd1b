import { admissible, admit, decodeRecord, EMPTY_HEAD, type StreamHead } from '#lib/decision';
import type { CommandOutcome, CommandRequest } from '#lib/engine';
import type { EventLog } from '#lib/log';
import { applyRecorded, type PlaythroughState } from '#lib/playthrough';
import { accepted, chooseRequest, fixture, startRequest } from '../../libs/engine/src/testing/fixture.js';
import { GatedLog, type Fate } from '../../libs/engine/src/testing/gated-log.js';
import { settled } from '../../libs/engine/src/testing/hand-time.js';
import type { Engine } from '#lib/engine';

/*
 * Issue row 12: every interleaving of two writers' small batches on one partition. Not sampled but enumerated: each run takes one path through
 * the tree of choices (who hands in its next batch, whose append arrives, and how), until every path was taken.
 */

/** Appends that go wrong per path; 2 under FABULA_TEST_LONG. */
const LONG = process.env['FABULA_TEST_LONG'] !== undefined;
const MOST_FAULTS = LONG ? 2 : 1;

/**
 * What each writer is asked, batch by batch: turn and choice of each command. Both believe that they are alone. The first batches are of
 * different lengths, so that a record can meet the version it was decided on, but not the state.
 */
const ASKED: readonly (readonly (readonly (readonly [turn: number, choice: string])[])[])[] = [
  [
    [
      [0, 'walk'],
      [1, 'walk'],
    ],
    ...(LONG ? [[[2, 'roll']] as const] : []),
  ],
  [
    [[0, 'roll']],
    [
      [1, 'walk'],
      [2, 'walk'],
    ],
  ],
];

interface Answer {
  readonly request: CommandRequest;
  readonly outcome: CommandOutcome | undefined;
}

/** Takes the choices of `path`, then the first one each time; answers how many there were at each step. */
class Chooser {
  readonly taken: { readonly index: number; readonly of: number }[] = [];
  constructor(private readonly path: readonly number[]) {}

  choose<T>(options: readonly T[]): T {
    const index = this.path[this.taken.length] ?? 0;
    this.taken.push({ index, of: options.length });
    return options[index] as T;
  }

  /** The path after this one, in the order of a search in depth; undefined after the last. */
  next(): readonly number[] | undefined {
    const path = this.taken.slice();
    for (let last = path.pop(); last !== undefined; last = path.pop()) {
      if (last.index + 1 < last.of) return [...path.map(({ index }) => index), last.index + 1];
    }
    return undefined;
  }
}

async function runPath(chooser: Chooser): Promise<{ readonly log: EventLog; readonly answers: readonly Answer[] }> {
  const { log, another, time } = fixture();
  const gates = [new GatedLog(log), new GatedLog(log)];
  const engines = gates.map((gate) => another({}, gate));
  const start = startRequest();
  await Promise.all(engines.map((engine) => engine.start()));
  await begin(engines, gates, start);

  const answers: Promise<Answer>[] = [];
  const left = ASKED.map((batches) => batches.slice());
  let faults = 0;
  for (;;) {
    await settled();
    const options: (() => Promise<void>)[] = [];
    for (const [writer, gate] of gates.entries()) {
      const engine = engines[writer] as Engine;
      if (gate.held > 0) {
        const fates: readonly Fate[] = faults < MOST_FAULTS ? ['stored', 'lost', 'unanswered'] : ['stored'];
        for (const fate of fates) {
          options.push(async () => {
            if (fate !== 'stored') faults++;
            await gate.decide(fate);
            if (fate !== 'stored') await time.pass(20);
          });
        }
      } else if ((left[writer]?.length ?? 0) > 0) {
        options.push(async () => {
          for (const [turn, choice] of left[writer]?.shift() ?? []) {
            const request = chooseRequest(start.id, turn, choice);
            answers.push(
              engine.execute(request).then(
                (outcome): Answer => ({ request, outcome }),
                (): Answer => ({ request, outcome: undefined }),
              ),
            );
          }
        });
      }
    }
    if (options.length === 0) break;
    await chooser.choose(options)();
  }
  const seen = await Promise.all(answers);
  await Promise.all(engines.map((engine) => engine.stop()));
  return { log, answers: seen };
}

/** Both writers have the new playthrough in memory. */
async function begin(engines: readonly Engine[], gates: readonly GatedLog[], start: ReturnType<typeof startRequest>): Promise<void> {
  for (const [writer, gate] of gates.entries()) {
    gate.open = true;
    await accepted((engines[writer] as Engine).execute(start));
    gate.open = false;
  }
}

/** Folds the log and compares with what was answered. Answers how many records had which verdict. */
async function check(log: EventLog, answers: readonly Answer[]): Promise<string> {
  let head: StreamHead = EMPTY_HEAD;
  let state: PlaythroughState | null = null;
  const offsets = new Map<string, number>();
  const verdicts: string[] = [];
  for await (const { records } of log.read(0, 0, { upTo: await log.end(0) })) {
    for (const { offset, value } of records) {
      const decoded = decodeRecord(value);
      if (!admissible(decoded, 0, 1)) throw new Error('an undecodable record');
      const { record, digest } = decoded;
      const admission = admit(head, record, digest, offset);
      verdicts.push(admission.verdict);
      if (admission.verdict !== 'accepted') continue;
      // Decided on the head it meets, and on the state it is folded onto: the recorded hash says so.
      expect([record.previous, record.expectedVersion]).toEqual([head.previous, head.version]);
      for (const event of record.events) state = applyRecorded(state, event);
      expect(offsets.has(record.commandId)).toBe(false);
      offsets.set(record.commandId, offset);
      head = admission.head;
    }
  }
  for (const { request, outcome } of answers) {
    if (outcome?.kind === 'accepted') expect(offsets.get(request.commandId)).toBe(outcome.offset);
    if (outcome?.kind === 'rejected' && outcome.code !== 'TURN_STALE') throw new Error(`rejected with ${outcome.code}`);
    if (outcome?.kind === 'rejected') expect(offsets.has(request.commandId)).toBe(false);
  }
  return verdicts.join(' ');
}

describe('Two writers on one partition', () => {
  it('accept only what was decided on the state it is folded onto, in every interleaving of their batches', async () => {
    const histories = new Map<string, number>();
    let paths = 0;
    for (let path: readonly number[] | undefined = []; path !== undefined;) {
      const chooser: Chooser = new Chooser(path);
      const { log, answers } = await runPath(chooser);
      const verdicts = await check(log, answers);
      histories.set(verdicts, (histories.get(verdicts) ?? 0) + 1);
      paths++;
      path = chooser.next();
    }
    process.stdout.write(`two writers: ${paths} interleavings, ${histories.size} different histories of verdicts\n`);
    expect(paths).toBeGreaterThan(200);
    const all = [...histories.keys()].join(' ');
    for (const verdict of ['accepted', 'conflict', 'duplicate']) expect(all).toContain(verdict);
  }, 600_000);
});
