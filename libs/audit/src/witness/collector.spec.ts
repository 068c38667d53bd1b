import { audited, testSigner } from '../testing/audited.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { originOf } from '../notary.js';
import { Proofs } from '../proofs.js';
import { EMPTY_ROOT, generateCosigner, generateSigner, openNote, signCheckpointNote, treeSize, type Cosigner } from '../tlog/index.js';
import { cosigned, CosignatureCollector, newestWitnessed } from './collector.js';
import { parsePolicy, type Policy } from './policy.js';
import { MemoryWitnessRecords, type ForkReport } from './witness-records.js';
import { originHash } from './witness-directory.js';
import { Witness, type WitnessState } from './witness.js';

const NEVER = new AbortController().signal;
const ORIGIN = originOf(testSigner.name, 'log-7', 'root');
const MINUTE = 60_000;

/** A witness behind a `fetch` that needs no network. */
class ServedWitness {
  readonly notes = new Map<string, string>();
  down = false;
  asked = 0;
  /** Answers in its place. */
  instead: ((path: string) => Response | undefined) | undefined;
  readonly witness: Witness;
  constructor(
    readonly cosigner: Cosigner,
    clock: { now(): number },
  ) {
    const state: WitnessState = {
      latest: (origin) => this.notes.get(origin),
      keep: (origin, note) => {
        this.notes.set(origin, note);
        return Promise.resolve();
      },
    };
    this.witness = new Witness({ cosigner, logs: [{ origin: ORIGIN, verifiers: [testSigner.verifier] }], state, clock });
  }
  async answer(path: string, body: string | undefined): Promise<Response> {
    if (this.down) throw new TypeError('fetch failed');
    const instead = this.instead?.(path);
    if (instead !== undefined) return instead;
    if (body === undefined) {
      const note = path === `${originHash(ORIGIN)}/checkpoint` ? this.witness.latest(ORIGIN) : undefined;
      return note === undefined ? new Response('', { status: 404 }) : new Response(note);
    }
    this.asked++;
    const answer = await this.witness.addCheckpoint(body);
    if (answer.status === 200) return new Response(answer.lines);
    if (answer.status === 409) return new Response(`${answer.size}\n`, { status: 409, headers: { 'content-type': 'text/x.tlog.size' } });
    return new Response(answer.message, { status: answer.status });
  }
}

function set(names: readonly string[] = ['one', 'two']) {
  let now = 1_800_000_000_000;
  const clock = { now: () => now };
  const witnesses = names.map((name) => new ServedWitness(generateCosigner(`witness.test/${name}`), clock));
  const lines = witnesses.map(({ cosigner }, n) => `witness ${names[n] ?? ''} ${cosigner.verifier.vkey} http://${names[n] ?? ''}.test/w`);
  const policy: Policy = parsePolicy(`${lines.join('\n')}\ngroup all all ${names.join(' ')}\nquorum all\n`);
  const fetched: typeof globalThis.fetch = (input, init) => {
    const url = new URL(input as string);
    const at = names.indexOf(url.hostname.replace('.test', ''));
    return (witnesses[at] as ServedWitness).answer(url.pathname.replace('/w/', ''), init?.body as string | undefined);
  };
  const records = new MemoryWitnessRecords();
  const forks: ForkReport[] = [];
  const overdue: string[] = [];
  const collecting = (store: MemoryAuditStore, remembered = records): CosignatureCollector =>
    new CosignatureCollector({
      store,
      records: remembered,
      proofs: new Proofs(store, 'log-7'),
      logId: 'log-7',
      origin: ORIGIN,
      trust: () => Promise.resolve([{ verifier: testSigner.verifier }]),
      policy,
      fetch: fetched,
      clock,
      timers: { after: () => () => undefined },
      random: () => 0.5,
      onFork: (report) => forks.push(report),
      onOverdue: (message) => overdue.push(message),
    });
  return { witnesses, policy, records, forks, overdue, collecting, pass: (ms: number) => (now += ms) };
}
const rootNote = async (store: MemoryAuditStore) => (await store.latestNote('root', 'log-7'))!;
const problems = (collector: CosignatureCollector): readonly (string | null)[] =>
  collector.status().witnesses.map(({ problem }) => problem);

describe('the collector of cosignatures', () => {
  it('has every witness cosign the newest root note, from where each was last, and serves them below the note', async () => {
    const { witnesses, policy, records, collecting, forks } = set();
    const log = audited(7);
    const collector = collecting(log.store);
    await collector.round(NEVER);
    expect([collector.status().quorum, problems(collector)]).toEqual(['waiting', [null, null]]);
    for (let round = 0; round < 4; round++) {
      await log.round(3);
      const [one, two] = witnesses as [ServedWitness, ServedWitness];
      two.down = round === 1;
      await collector.round(NEVER);
      const note = await rootNote(log.store);
      const opened = openNote(await cosigned(records, note), [testSigner.verifier, ...witnesses.map(({ cosigner }) => cosigner.verifier)]);
      expect(opened.verified.map(({ name }) => name)).toEqual([
        testSigner.name,
        one.cosigner.name,
        ...(two.down ? [] : [two.cosigner.name]),
      ]);
      expect(problems(collector)).toEqual([null, two.down ? expect.stringContaining('cannot be reached') : null]);
    }
    expect(collector.status().quorum).toBe('reached');
    const witnessed = await newestWitnessed({ store: log.store, records, logId: 'log-7' }, policy);
    expect(witnessed?.size).toBe((await rootNote(log.store)).size);
    expect(forks).toEqual([]);
  });

  it('asks again only when the tree grew, or the witness has been silent for long', async () => {
    const { witnesses, collecting, pass } = set(['one']);
    const log = audited(7);
    await log.round(2);
    const collector = collecting(log.store);
    const [one] = witnesses as [ServedWitness];
    for (let i = 0; i < 3; i++) await collector.round(NEVER);
    expect(one.asked).toBe(1);
    pass(6 * MINUTE);
    await collector.round(NEVER);
    expect(one.asked).toBe(2);
  });

  it('finds its place again by the 409 of a witness that knows more than this process, also after one died between keeping and answering', async () => {
    const { collecting, forks } = set();
    const log = audited(7);
    await log.round(2);
    await collecting(log.store).round(NEVER);
    await log.round(2);
    await collecting(log.store).round(NEVER);
    // Cosigned, but this process has heard of nothing.
    const collector = collecting(log.store, new MemoryWitnessRecords());
    await collector.round(NEVER);
    expect([collector.status().quorum, problems(collector), forks]).toEqual(['reached', [null, null], []]);
  });

  it('takes no larger tree for a contradiction that another process signed and had cosigned in between', async () => {
    const { collecting, forks } = set(['one']);
    const log = audited(7);
    await log.round(2);
    const older = await rootNote(log.store);
    await log.round(2);
    await collecting(log.store).round(NEVER);
    // This one looked before that.
    const stale = [older];
    const store = new Proxy(log.store, {
      get: (target, name): unknown =>
        name === 'latestNote'
          ? async (...asked: Parameters<MemoryAuditStore['latestNote']>) => stale.pop() ?? (await target.latestNote(...asked))
          : (Reflect.get(target, name, target) as unknown),
    });
    const collector = collecting(store, new MemoryWitnessRecords());
    await collector.round(NEVER);
    expect([problems(collector), forks, stale]).toEqual([[null], [], []]);
  });

  it('reports a second history with both notes and the proof that fails, once', async () => {
    const { collecting, forks, records, witnesses } = set();
    const log = audited(7);
    const other = audited(7);
    await log.round(4);
    await collecting(log.store).round(NEVER);
    const theirs = await rootNote(log.store);
    // The same log, signed at other times: another root tree, and larger.
    await other.sign();
    await other.round(8);
    await other.round(8);
    const ours = await rootNote(other.store);
    expect(ours.size).toBeGreaterThan(theirs.size);
    const forger = collecting(other.store);
    for (let i = 0; i < 3; i++) await forger.round(NEVER);
    expect(forks.map(({ kind, oldSize }) => [kind, oldSize])).toEqual([
      ['FORK', theirs.size],
      ['FORK', theirs.size],
    ]);
    const [report] = (await records.forks('log-7', 10)) as [ForkReport];
    expect(report.ours).toBe(ours.note);
    expect(openNote(report.theirs, [testSigner.verifier]).text).toBe(openNote(theirs.note, [testSigner.verifier]).text);
    expect(report.proof).toEqual(
      (await new Proofs(other.store, 'log-7').consistency('root', theirs.size, ours.size)).hashes.map((hash) => hash.toString('base64')),
    );
    expect(problems(forger)[0]).toContain('two histories');
    expect(witnesses.map(({ witness }) => openNote(witness.latest(ORIGIN) ?? '', [testSigner.verifier]).text)).toEqual(
      witnesses.map(() => openNote(theirs.note, [testSigner.verifier]).text),
    );
  });

  it('reports a store that was set back', async () => {
    const { collecting, forks } = set(['one']);
    const log = audited(7);
    await log.round(6);
    await collecting(log.store).round(NEVER);
    const younger = audited(7);
    await younger.round(1);
    expect((await rootNote(younger.store)).size).toBeLessThan((await rootNote(log.store)).size);
    await collecting(younger.store).round(NEVER);
    expect(forks.map(({ kind, oldSize }) => [kind, oldSize])).toEqual([['SET_BACK', (await rootNote(log.store)).size]]);
  });

  it('blames a witness, not the log, for whatever the log did not sign', async () => {
    const { witnesses, collecting, forks } = set(['one']);
    const log = audited(7);
    await log.round(3);
    const note = await rootNote(log.store);
    const [one] = witnesses as [ServedWitness];
    const stranger = generateSigner(testSigner.name);
    const lie = signCheckpointNote({ origin: ORIGIN, size: treeSize(note.size + 5n), root: EMPTY_ROOT }, stranger);
    const conflict =
      (text: string, type = 'text/x.tlog.size') =>
      (): Response =>
        new Response(text, { status: 409, headers: { 'content-type': type } });
    const answers: readonly ((path: string) => Response | undefined)[] = [
      () => new Response('no', { status: 422 }),
      (path) => (path === 'add-checkpoint' ? new Response('no', { status: 422 }) : new Response(lie)),
      (path) => (path === 'add-checkpoint' ? new Response('no', { status: 422 }) : new Response(note.note)),
      (path) => (path === 'add-checkpoint' ? conflict(`${note.size + 5n}\n`)() : new Response(lie)),
      conflict(`${note.size}`),
      conflict(`0${note.size}\n`),
      conflict(`${note.size}\n`, 'text/plain'),
      () => new Response('', { status: 200 }),
      () => new Response('\u2014 witness.test/one AAAAAAAA\n'),
      () => new Response('x'.repeat(1_000_000)),
      () => new Response('', { status: 500 }),
      () => new Response('slow down', { status: 429 }),
    ];
    for (const instead of answers) {
      one.instead = instead;
      const collector = collecting(log.store);
      await collector.round(NEVER);
      expect(problems(collector)[0]).toEqual(expect.any(String));
    }
    expect(forks).toEqual([]);
    one.instead = undefined;
    const collector = collecting(log.store);
    await collector.round(NEVER);
    expect(problems(collector)).toEqual([null]);
  });

  it('raises one alarm when the quorum is missing for too long, and another one only after it was there again', async () => {
    const { witnesses, collecting, overdue, pass } = set();
    const log = audited(7);
    await log.round(2);
    const collector = collecting(log.store);
    const two = witnesses[1] as ServedWitness;
    two.down = true;
    for (const ms of [0, 10 * MINUTE, 6 * MINUTE, MINUTE]) {
      pass(ms);
      await collector.round(NEVER);
    }
    expect([overdue.length, collector.status().quorum]).toEqual([1, 'overdue']);
    expect(overdue[0]).toContain('two: it cannot be reached');
    two.down = false;
    await collector.round(NEVER);
    expect(collector.status().quorum).toBe('reached');
    two.down = true;
    pass(16 * MINUTE);
    await collector.round(NEVER);
    expect(overdue).toHaveLength(2);
  });
});
