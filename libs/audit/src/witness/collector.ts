import type { LogId } from '#lib/log';
import { errorText, pause, type Clock, type Timers } from '#lib/platform';
import type { AuditStore, KeptNote } from '../audit-store.js';
import type { Proofs } from '../proofs.js';
import {
  checkConsistency,
  cosignedAt,
  formatSignatureLines,
  openTrustedNote,
  parseSignatureLines,
  treeSize,
  withSignatures,
  type CheckpointNote,
  type Hash,
  type NoteSignature,
  type TrustedKey,
} from '../tlog/index.js';
import { quorumReached, type Policy, type PolicyWitness } from './policy.js';
import { WitnessClient, WitnessUnavailable } from './witness-client.js';
import type { Cosignature, ForkReport, WitnessRecords } from './witness-records.js';

export interface CollectorOptions {
  readonly store: AuditStore;
  readonly records: WitnessRecords;
  readonly proofs: Proofs;
  readonly logId: LogId;
  readonly origin: string;
  /** Keys that sign the root tree's notes or did: what a witness shows counts as evidence only under one of these. */
  readonly trust: () => Promise<readonly TrustedKey[]>;
  readonly policy: Policy;
  readonly fetch: typeof globalThis.fetch;
  readonly clock: Clock;
  readonly timers: Timers;
  /** 0 ≤ n < 1: spreads the questions of many servers over time. */
  readonly random: () => number;
  /** How often witnesses are asked about a tree that grew; default 10 s. */
  readonly intervalMs?: number;
  /** A quorum is overdue after this; default 15 min. */
  readonly overdueMs?: number;
  readonly onFork: (report: ForkReport) => void;
  readonly onOverdue: (message: string) => void;
}

export interface WitnessStatus {
  readonly name: string;
  readonly vkey: string;
  readonly url: string | null;
  /** Largest tree that it cosigned. */
  readonly size: bigint | null;
  readonly cosignedAt: number | null;
  readonly problem: string | null;
}
export interface QuorumStatus {
  /** `none`: the policy asks for no witness. */
  readonly quorum: 'none' | 'reached' | 'overdue' | 'waiting';
  readonly witnesses: readonly WitnessStatus[];
}

const LOG = 'root';
const INTERVAL_MS = 10_000;
const OVERDUE_MS = 15 * 60_000;
/** An unchanged tree is cosigned anew after a third of what makes a quorum overdue: a witness's proof that the log is silent. */
const REFRESHES = 3;
const MAX_BACK_OFF_MS = 10 * 60_000;
const MAX_TRIES = 4;

interface Asked {
  readonly witness: PolicyWitness;
  readonly client: WitnessClient;
  newest: Cosignature | undefined;
  problem: string | null;
}

/**
 * Asks the policy's witnesses to cosign the root tree's newest note. The root tree suffices: its entries are the partitions' notes, so
 * who vouches for its history vouches for theirs. Each witness is asked by itself; one that is down holds up no other.
 */
export class CosignatureCollector {
  private readonly asked: readonly Asked[];
  private readonly since: number;
  private overdue = false;

  constructor(private readonly options: CollectorOptions) {
    this.since = options.clock.now();
    this.asked = options.policy.witnesses.flatMap((witness) =>
      witness.url === undefined
        ? []
        : [{ witness, client: new WitnessClient(witness.url, witness.verifier, options.fetch), newest: undefined, problem: null }],
    );
  }

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.asked.map((one) => this.follow(one, signal)), this.watch(signal)]);
  }

  /** Asks every witness once; for whoever does not want to wait. */
  async round(signal: AbortSignal): Promise<void> {
    await Promise.all(this.asked.map((one) => this.guarded(one, signal)));
    this.lookAtQuorum();
  }

  /** With what other processes had cosigned. @throws when the database does not answer */
  async refreshed(): Promise<QuorumStatus> {
    const { records, logId } = this.options;
    const kept = await records.newestCosignatures(logId, LOG);
    for (const one of this.asked) one.newest = kept.find(({ witness }) => witness === one.witness.verifier.vkey) ?? one.newest;
    return this.status();
  }

  /** As this process knows it. */
  status(): QuorumStatus {
    const { policy } = this.options;
    const witnesses = policy.witnesses.map(({ name, verifier, url }): WitnessStatus => {
      const one = this.asked.find(({ witness }) => witness.name === name);
      const newest = one?.newest;
      return {
        name,
        vkey: verifier.vkey,
        url: url ?? null,
        size: newest?.size ?? null,
        cosignedAt: newest?.cosignedAt ?? null,
        problem: one === undefined ? 'the policy has no URL for it' : one.problem,
      };
    });
    if (policy.quorum === 'none') return { quorum: 'none', witnesses };
    return { quorum: this.reached() ? 'reached' : this.isOverdue() ? 'overdue' : 'waiting', witnesses };
  }

  private async follow(one: Asked, signal: AbortSignal): Promise<void> {
    const { timers, random, intervalMs = INTERVAL_MS } = this.options;
    let failures = 0;
    while (!signal.aborted) {
      failures = (await this.guarded(one, signal)) ? 0 : failures + 1;
      const wait = Math.min(intervalMs * 2 ** Math.min(failures, 20), Math.max(MAX_BACK_OFF_MS, intervalMs));
      await pause(timers, wait * (0.75 + random() / 2), signal);
    }
  }

  private async watch(signal: AbortSignal): Promise<void> {
    const { timers, intervalMs = INTERVAL_MS } = this.options;
    while (!signal.aborted) {
      await pause(timers, intervalMs, signal);
      if (!signal.aborted) this.lookAtQuorum();
    }
  }

  private async guarded(one: Asked, signal: AbortSignal): Promise<boolean> {
    try {
      await this.ask(one, signal);
      one.problem = null;
    } catch (error) {
      if (!signal.aborted) one.problem = errorText(error);
    }
    return one.problem === null;
  }

  private async ask(one: Asked, signal: AbortSignal): Promise<void> {
    const { store, records, logId, clock, overdueMs = OVERDUE_MS } = this.options;
    const { vkey } = one.witness.verifier;
    const kept = (await records.newestCosignatures(logId, LOG)).find(({ witness }) => witness === vkey);
    // Another process may have asked meanwhile.
    one.newest = kept ?? one.newest;
    const note = await store.latestNote(LOG, logId);
    if (note === undefined) return;
    if (kept?.size === note.size && clock.now() - kept.cosignedAt < overdueMs / REFRESHES) return;
    await this.submit(one, note, kept?.size ?? 0n, signal);
  }

  private async submit(one: Asked, newest: KeptNote, known: bigint, signal: AbortSignal): Promise<void> {
    const { store, proofs, logId } = this.options;
    let note = newest;
    let old = known;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      // The store may have been set back below what it knows to be cosigned.
      if (old > note.size) return this.contradicted(one, note, old, [], signal);
      const proof = old === note.size ? [] : (await proofs.consistency(LOG, old, note.size)).hashes;
      const reply = await one.client.addCheckpoint({ old: treeSize(old), proof, note: note.note }, signal);
      if (reply.kind === 'cosigned') return this.keep(one, note, reply.signature);
      if (reply.kind === 'refused' || reply.size === old) return this.contradicted(one, note, old, proof, signal);
      old = reply.size;
      // A note is in the store before it leaves: what another process sent stands there by now.
      if (old > note.size) note = (await store.latestNote(LOG, logId)) ?? note;
    }
    throw new WitnessUnavailable('others sent it notes all the time');
  }

  private async keep(one: Asked, note: KeptNote, signature: NoteSignature): Promise<void> {
    const { records, logId, clock, overdueMs = OVERDUE_MS } = this.options;
    const seconds = cosignedAt(signature.signature) ?? 0;
    if (Math.abs(seconds * 1_000 - clock.now()) > overdueMs)
      throw new WitnessUnavailable(`its clock says ${new Date(Math.min(seconds * 1_000, 8.64e15)).toISOString()}`);
    const line = formatSignatureLines([signature]);
    one.newest = { logId, log: LOG, size: note.size, witness: one.witness.verifier.vkey, line, cosignedAt: seconds * 1_000 };
    await records.keepCosignature(one.newest);
  }

  /** The witness does not take our note. Only a note with our signature that ours does not continue is a fork; anything else is its fault. */
  private async contradicted(one: Asked, note: KeptNote, old: bigint, proof: readonly Hash[], signal: AbortSignal): Promise<never> {
    const { store, records, logId, clock } = this.options;
    const theirs = await one.client.latest(this.options.origin, signal);
    const opened = theirs === undefined ? undefined : signedByUs(theirs, await this.options.trust(), this.options.origin);
    if (theirs === undefined || opened === undefined)
      throw new WitnessUnavailable('it refuses the newest note, but shows no note that the key of this audit signed');
    // Never on a stale look: whatever another process was given to cosign is in the store.
    const ours = (await store.latestNote(LOG, logId)) ?? note;
    const setBack = opened.size > ours.size;
    if (!setBack && (await this.continued(opened, ours)))
      throw new WitnessUnavailable('it refuses the newest note, although that continues the one it shows');
    const shown = setBack || opened.size !== old ? await this.proofFrom(opened.size, ours) : proof;
    const report: ForkReport = {
      logId,
      log: LOG,
      kind: setBack ? 'SET_BACK' : 'FORK',
      witness: one.witness.verifier.vkey,
      foundAt: clock.now(),
      ours: ours.note,
      theirs,
      oldSize: opened.size,
      proof: shown.map((hash) => hash.toString('base64')),
    };
    if (await records.keepFork(report)) this.options.onFork(report);
    throw new WitnessUnavailable(
      setBack
        ? `it has cosigned a tree of ${opened.size}, this store knows only ${ours.size}: the store was set back`
        : `it has cosigned another tree of ${opened.size} with this audit's signature: two histories`,
    );
  }

  private async continued(theirs: CheckpointNote, ours: KeptNote): Promise<boolean> {
    if (theirs.size === 0n) return true;
    if (theirs.size === ours.size) return theirs.root.equals(ours.root);
    return checkConsistency(await this.proofFrom(theirs.size, ours), treeSize(ours.size), ours.root, theirs.size, theirs.root);
  }
  private async proofFrom(size: bigint, ours: KeptNote): Promise<readonly Hash[]> {
    return size === 0n || size >= ours.size ? [] : (await this.options.proofs.consistency(LOG, size, ours.size)).hashes;
  }

  private reached(): boolean {
    const { policy, clock, overdueMs = OVERDUE_MS } = this.options;
    const fresh = this.asked.filter(({ newest }) => newest !== undefined && clock.now() - newest.cosignedAt < overdueMs);
    return quorumReached(policy, new Set(fresh.map(({ witness }) => witness.name)));
  }
  private isOverdue(): boolean {
    return this.options.clock.now() - this.since >= (this.options.overdueMs ?? OVERDUE_MS);
  }

  private lookAtQuorum(): void {
    const overdue = !this.reached() && this.isOverdue();
    if (overdue && !this.overdue) {
      const silent = this.asked
        .filter(({ problem }) => problem !== null)
        .map(({ witness, problem }) => `${witness.name}: ${problem ?? ''}`);
      this.options.onOverdue(`the audit's signed trees have no quorum of witnesses: ${silent.join('; ') || 'nobody cosigned lately'}`);
    }
    this.overdue = overdue;
  }
}

function signedByUs(theirs: string, trust: readonly TrustedKey[], origin: string): CheckpointNote | undefined {
  try {
    const note = openTrustedNote(theirs, trust);
    return note.origin === origin ? note : undefined;
  } catch {
    // The caller says what it means that there is none.
    return undefined;
  }
}

/** A note with the cosignatures that it has, as it is served. */
export async function cosigned(records: WitnessRecords, note: KeptNote): Promise<string> {
  const kept = await records.cosignatures(note.logId, note.log, note.size);
  return withSignatures(
    note.note,
    kept.flatMap(({ line }) => parseSignatureLines(line)),
  );
}

/** The newest note that has its quorum, with its cosignatures. */
export async function newestWitnessed(
  { store, records, logId }: Pick<CollectorOptions, 'store' | 'records' | 'logId'>,
  policy: Policy,
): Promise<{ readonly size: bigint; readonly note: string } | undefined> {
  const newest = await records.newestCosignatures(logId, LOG);
  const sizes = [...new Set(newest.map(({ size }) => size))].sort((one, other) => (one < other ? 1 : -1));
  for (const size of sizes) {
    const by = new Set((await records.cosignatures(logId, LOG, size)).map(({ witness }) => witness));
    const names = policy.witnesses.filter(({ verifier }) => by.has(verifier.vkey)).map(({ name }) => name);
    const [note] = quorumReached(policy, new Set(names)) ? await store.notes(LOG, logId, size - 1n, 1) : [];
    if (note?.size === size) return { size, note: await cosigned(records, note) };
  }
  return undefined;
}
