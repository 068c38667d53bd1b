import { everyAwait, type Process } from '../../../../test/support/every-await.js';
import { verified } from '../../../../test/support/verification.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { originOf } from '../notary.js';
import { Proofs } from '../proofs.js';
import { testSigner } from '../testing/audited.js';
import { killableWorld, worker, type KillableWorld } from '../testing/killable.js';
import { generateCosigner, openNote, openTrustedNote, type Cosigner } from '../tlog/index.js';
import { cosigned, CosignatureCollector } from './collector.js';
import { parsePolicy } from './policy.js';
import { MemoryWitnessRecords, type ForkReport } from './witness-records.js';
import { Witness } from './witness.js';

const NEVER = new AbortController().signal;

interface WitnessedWorld extends KillableWorld {
  readonly records: MemoryWitnessRecords;
  readonly cosigner: Cosigner;
  /** What the witness cosigned, in order. */
  readonly cosigned: string[];
  readonly forks: ForkReport[];
}

async function begin(): Promise<WitnessedWorld> {
  const world = await killableWorld(new MemoryAuditStore());
  return { ...world, records: new MemoryWitnessRecords(), cosigner: generateCosigner('witness.test/one'), cosigned: [], forks: [] };
}

/** The collector of one process, and the witness that it asks; either may be the one that is killed. */
function collecting(world: WitnessedWorld, killed: 'server' | 'witness', process?: Process): CosignatureCollector {
  const { logId, cosigner } = world;
  const origin = originOf(testSigner.name, logId, 'root');
  const clock = { now: () => (world.now += 1_000) };
  const wrap = <T extends object>(who: typeof killed, name: string, port: T): T =>
    process === undefined || who !== killed ? port : process.port(name, port);
  const state = wrap('witness', 'disk', {
    latest: () => world.cosigned.at(-1),
    keep: (_: string, note: string) => Promise.resolve(void world.cosigned.push(note)),
  });
  const witness = new Witness({ cosigner, logs: [{ origin, verifiers: [testSigner.verifier] }], state, clock });
  const net = wrap('server', 'net', {
    async fetch(_: string | URL | Request, init?: RequestInit): Promise<Response> {
      if (init?.body === undefined)
        return new Response(witness.latest(origin) ?? '', { status: witness.latest(origin) === undefined ? 404 : 200 });
      const answer = await witness.addCheckpoint(init.body as string);
      if (answer.status === 200) return new Response(answer.lines);
      if (answer.status === 409) return new Response(`${answer.size}\n`, { status: 409, headers: { 'content-type': 'text/x.tlog.size' } });
      return new Response(answer.message, { status: answer.status });
    },
  });
  const store = wrap('server', 'store', world.store);
  return new CosignatureCollector({
    store,
    records: wrap('server', 'records', world.records),
    proofs: new Proofs(store, logId),
    logId,
    origin,
    trust: () => Promise.resolve([{ verifier: testSigner.verifier }]),
    policy: parsePolicy(`witness one ${cosigner.verifier.vkey} http://one.test/w\nquorum one\n`),
    fetch: (input, init) => net.fetch(input, init),
    clock,
    timers: { after: () => () => undefined },
    random: () => 0.5,
    onFork: (report) => world.forks.push(report),
    onOverdue: () => undefined,
  });
}

describe.each(['server', 'witness'] as const)('cosigning, with the %s killed at every call that it awaits', (killed) => {
  it('goes on: no note is cosigned that does not continue the one before, nothing is taken for a fork, none is lost', async () => {
    const grown = async (world: WitnessedWorld): Promise<void> => {
      await world.writer.batch(3);
      await worker(world).audit();
      await worker(world).sign();
    };
    const steps = await everyAwait<WitnessedWorld>({
      begin: async () => {
        const world = await begin();
        await grown(world);
        return world;
      },
      run: async (world, process) => {
        const collector = collecting(world, killed, process);
        await collector.round(NEVER);
        await grown(world);
        await collector.round(NEVER);
      },
      recover: async (world) => {
        await grown(world);
        await collecting(world, killed).round(NEVER);
      },
      verify: async ({ store, logId, records, cosigner, cosigned: kept, forks }) => {
        expect(forks).toEqual([]);
        const note = (await store.latestNote('root', logId))!;
        const { verified } = openNote(await cosigned(records, note), [testSigner.verifier, cosigner.verifier]);
        expect(verified.map(({ name }) => name)).toEqual([testSigner.name, cosigner.name]);
        const sizes = kept.map((text) => openTrustedNote(text, [{ verifier: testSigner.verifier }]).size);
        expect(sizes).toEqual(sizes.toSorted((a, b) => Number(a - b)));
        expect(sizes.at(-1)).toBe(note.size);
      },
    });
    const figures = await verified(`5.4 kills while cosigning, of the ${killed}`, () => Promise.resolve({ steps }));
    expect(figures.steps).toBeGreaterThan(killed === 'server' ? 15 : 5);
  });
});
