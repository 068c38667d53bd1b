import { Auditor } from '../auditor.js';
import type { AuditStore } from '../audit-store.js';
import type { RecordBodies } from '../bundle/bodies.js';
import type { RootEvidence } from '../bundle/root-evidence.js';
import { planExport, writeBundle, type PlanOptions } from '../bundle/write-bundle.js';
import type { ExportRange } from '../export-job.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { Notary } from '../notary.js';
import { announceKey } from '../keys/announce-key.js';
import { trustOf } from '../keys/kept-keys.js';
import { formatTrust, generateSigner, type NoteSigner } from '../tlog/index.js';
import { keepingTerms } from '../terms/keep-terms.js';
import { history, random, type History } from './histories.js';

export const testSigner: NoteSigner = generateSigner('fabula.test/audit');
const noTimers = { after: () => () => undefined };

export interface Audited<Store extends AuditStore> extends History {
  readonly store: Store;
  readonly logId: string;
  readonly partitions: number;
  /** Writes batches, audits them and signs. */
  round(batches: number): Promise<void>;
  sign(): Promise<void>;
  /** From now on another key signs, beside the one before it. */
  rotate(): Promise<void>;
  /** What verifies the notes: the keys with their limits. */
  trust(): Promise<string>;
  bundle(ranges?: readonly ExportRange[], signer?: NoteSigner, more?: PlanOptions): Promise<Buffer>;
}

/** A seeded history, audited and signed like a running server does, with restarts in between. */
export function audited<Store extends AuditStore = MemoryAuditStore>(
  seed: number,
  options: { partitions?: number; store?: Store } = {},
): Audited<Store> {
  const partitions = options.partitions ?? 2;
  const made = history(seed, partitions);
  const next = random(seed ^ 0x5eed);
  const store = options.store ?? (new MemoryAuditStore() as unknown as Store);
  const logId = `log-${seed}`;
  let now = 1_800_000_000_000;
  const clock = { now: () => (now += 1 + next(1000)) };
  const terms = keepingTerms(store, logId);
  let auditor = new Auditor({ log: made.log, store, timers: noTimers });
  const signers = [testSigner];
  const notaryOf = (): Notary => new Notary({ store, logId, partitions, signers: [...signers], clock, timers: noTimers, terms });
  let notary = notaryOf();
  const sign = async (): Promise<void> => {
    await notary.sign();
    const problem = notary.status().find((status) => status.problem !== undefined);
    if (problem !== undefined) throw new Error(problem.problem?.message);
  };
  return {
    ...made,
    store,
    logId,
    partitions,
    sign,
    async rotate() {
      const made = generateSigner(testSigner.name);
      signers.unshift(made);
      await announceKey({ store, logId, vkey: made.verifier.vkey, now: clock.now() });
      notary = notaryOf();
    },
    async trust() {
      const kept = trustOf(await store.signingKeys(logId));
      return kept.length === 0 ? testSigner.verifier.vkey : formatTrust(kept);
    },
    async round(batches) {
      for (let i = 0; i < batches; i++) {
        await made.writer.batch(1 + next(9));
        if (next(3) === 0) auditor = new Auditor({ log: made.log, store, timers: noTimers });
        if (next(2) === 0) await auditor.catchUp(next(partitions));
        if (next(8) === 0) notary = notaryOf();
        if (next(6) === 0) await sign();
      }
      for (let partition = 0; partition < partitions; partition++) await auditor.catchUp(partition);
      await sign();
    },
    bundle: (ranges, signer = signers[0] ?? testSigner, more = {}) =>
      bundleOf({ store, logId, partitions }, { ...(ranges === undefined ? {} : { ranges }), signer, more, createdAt: now }),
  };
}

/** An export of what a store holds, as one buffer. */
export async function bundleOf(
  { store, logId, partitions }: Pick<Audited<AuditStore>, 'store' | 'logId' | 'partitions'>,
  options: {
    ranges?: readonly ExportRange[];
    signer?: NoteSigner;
    more?: PlanOptions;
    createdAt?: number;
    verifier?: Buffer;
    bodies?: RecordBodies;
    rootNote?: string;
    id?: string;
    evidence?: RootEvidence;
  } = {},
): Promise<Buffer> {
  const { signer = testSigner, more = {}, createdAt = 1_800_000_000_000 } = options;
  const everything: ExportRange[] = [
    ...Array.from({ length: partitions }, (_, n) => ({ log: `p${n}` as const, from: 0n })),
    ...(more.filter === undefined ? [{ log: 'root' as const, from: 0n }] : []),
  ];
  const plan = await planExport(store, logId, options.ranges ?? everything, more);
  const parts: Buffer[] = [];
  await writeBundle({
    store,
    logId,
    signer,
    id: options.id ?? `export-${logId.slice(logId.indexOf('-') + 1)}`,
    createdAt,
    plan,
    ...(options.bodies === undefined ? {} : { bodies: options.bodies }),
    ...(options.rootNote === undefined ? {} : { rootNote: options.rootNote }),
    ...(options.evidence === undefined ? {} : { evidence: options.evidence }),
    ...(options.verifier === undefined ? {} : { verifier: options.verifier }),
    write: (bytes) => {
      parts.push(Buffer.from(bytes));
      return Promise.resolve();
    },
  });
  return Buffer.concat(parts);
}

/** Bytes as a stream of uneven chunks. */
export async function* streamed(bytes: Buffer, chunk = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk);
}
