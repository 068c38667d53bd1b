import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Pool } from 'pg';
import {
  cosigned,
  CosignatureCollector,
  formatPolicy,
  MalformedPolicy,
  newestWitnessed,
  NoteCopies,
  parsePolicy,
  parseTrust,
  parseVerifierKey,
  PostgresTimestamps,
  PostgresWitnessRecords,
  Timestamper,
  type AuditStore,
  type ForkReport,
  type KeptNote,
  type KeptTimestamp,
  type Policy,
  type Proofs,
  type QuorumStatus,
} from '#lib/audit';
import type { LogId } from '#lib/log';
import { ConfigError, errorText, pause, systemClock, systemIds, systemTimers, type Config, type Logger } from '#lib/platform';
import type { AuditKeys } from './audit-keys.js';

interface WitnessingOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly pool: Pool;
  readonly store: AuditStore;
  readonly proofs: Proofs;
  readonly logId: LogId;
  /** Of the root tree. */
  readonly origin: string;
  readonly keys: AuditKeys;
  readonly alarm: (message: string) => void;
}

/** How often notes are looked for that are not copied yet. */
const COPY_EVERY_MS = 5_000;
const LOOK_EVERY_MS = 60_000;
export const MAX_LISTED = 100;

/** What others hold of this audit's signed trees: witnesses' cosignatures, copies of the notes, timestamps. */
export class Witnessing {
  private readonly records: PostgresWitnessRecords;
  private readonly stamps: PostgresTimestamps;
  private readonly collector: CosignatureCollector | undefined;
  private readonly copies: NoteCopies | undefined;
  private readonly timestamper: Timestamper | undefined;
  private contradictions = 0;
  private running: { readonly abort: AbortController; readonly done: Promise<unknown> } | undefined;

  private constructor(
    private readonly options: WitnessingOptions,
    private readonly policy: Policy | undefined,
  ) {
    const { config, pool, store, proofs, logId, origin, keys, alarm } = options;
    this.records = new PostgresWitnessRecords(pool);
    this.stamps = new PostgresTimestamps(pool);
    const common = { store, logId, fetch: globalThis.fetch, clock: systemClock, timers: systemTimers };
    if (policy !== undefined)
      this.collector = new CosignatureCollector({
        ...common,
        records: this.records,
        proofs,
        origin,
        policy,
        trust: async () => parseTrust(await keys.trust()),
        random: Math.random,
        intervalMs: config.witnessIntervalMs,
        onFork: (report) => {
          this.contradictions++;
          alarm(forkText(report));
        },
        onOverdue: alarm,
      });
    if (config.auditNotesDir !== undefined)
      this.copies = new NoteCopies({
        store,
        logId,
        logs: async () => (await store.latestNotes(logId)).map(({ log }) => log),
        directory: path.resolve(config.auditNotesDir),
        memory: path.join(config.dataDir, 'audit-notes-outside'),
        cosigned: async () => (policy === undefined ? undefined : newestWitnessed({ store, records: this.records, logId }, policy)),
        timers: systemTimers,
        intervalMs: COPY_EVERY_MS,
        onProblem: alarm,
      });
    if (config.tsaUrl !== undefined)
      this.timestamper = new Timestamper({
        ...common,
        records: this.stamps,
        url: config.tsaUrl,
        ids: systemIds,
        intervalMs: config.tsaIntervalMs,
        onOverdue: alarm,
      });
  }

  /** @throws ConfigError naming the line of a policy that cannot be used */
  static async open(options: WitnessingOptions): Promise<Witnessing> {
    const file = options.config.auditPolicy;
    return new Witnessing(options, file === undefined ? undefined : await readPolicy(file, options));
  }

  /** Where notes are signed. Several processes may: what is kept, is kept once. */
  start(): void {
    if (this.running !== undefined) return;
    const abort = new AbortController();
    const done = Promise.all([
      ...[this.collector, this.copies, this.timestamper].map((one) => one?.run(abort.signal)),
      this.look(abort.signal),
    ]);
    this.running = { abort, done };
  }
  async stop(): Promise<void> {
    this.running?.abort.abort();
    await this.running?.done;
  }

  /** Also contradictions that were found before this process started, or by another one. */
  private async look(signal: AbortSignal): Promise<void> {
    if (this.collector === undefined) return;
    while (!signal.aborted) {
      try {
        this.contradictions = (await this.forks()).length;
      } catch (error) {
        // Asked again soon; readiness has the database's own problem.
        this.options.logger.debug({ error: errorText(error) }, 'the reports of witnesses cannot be asked for now');
      }
      await pause(systemTimers, LOOK_EVERY_MS, signal);
    }
  }

  /** What somebody must look at, where notes are signed; as this process knows it. */
  notes(): Record<string, string> {
    const notes: Record<string, string> = {};
    if (this.running === undefined) return notes;
    const { quorum, copying } = this.known();
    if (this.contradictions > 0)
      notes['audit forks'] = `${this.contradictions} contradictions with what witnesses cosigned: GET /audit/forks`;
    if (quorum?.quorum === 'overdue') {
      const silent = quorum.witnesses.flatMap(({ name, problem }) => (problem === null ? [] : [`${name}: ${problem}`]));
      notes['audit witnesses'] = `no quorum: ${silent.join('; ') || 'nobody cosigned lately'}`;
    }
    if (copying !== undefined && copying.problem !== null) notes['audit copies'] = copying.problem;
    return notes;
  }

  /** The note with the cosignatures that it has. */
  cosigned(note: KeptNote): Promise<string> {
    return cosigned(this.records, note);
  }
  forks(): Promise<readonly ForkReport[]> {
    return this.records.forks(this.options.logId, MAX_LISTED);
  }
  /** Newest first. */
  timestamps(limit: number): Promise<readonly KeptTimestamp[]> {
    return this.stamps.timestamps(this.options.logId, 'root', limit);
  }
  /** Size of the root tree's newest note that has its quorum; undefined: none has, or nobody is asked. */
  async witnessedSize(): Promise<bigint | undefined> {
    const { store, logId } = this.options;
    return this.policy === undefined ? undefined : (await newestWitnessed({ store, records: this.records, logId }, this.policy))?.size;
  }
  /** Undefined: no policy, so nobody is asked. */
  async quorum(): Promise<QuorumStatus | undefined> {
    return this.collector?.refreshed();
  }

  /** The trust policy that goes with an export; undefined when nobody witnesses. */
  async exportPolicy(): Promise<string | undefined> {
    if (this.policy === undefined) return undefined;
    const verifier = parseVerifierKey(await this.options.keys.verifierKey());
    return formatPolicy({ ...this.policy, logs: [{ verifier, url: undefined }] });
  }

  /** As this process knows it; nothing is asked. */
  known(): {
    readonly quorum: QuorumStatus | undefined;
    readonly copying: { readonly directory: string; readonly problem: string | null } | undefined;
    readonly timestamps: { readonly authority: string; readonly stampedAt: number | null; readonly problem: string | null } | undefined;
  } {
    const { copies, timestamper } = this;
    const { auditNotesDir = '', tsaUrl = '' } = this.options.config;
    return {
      quorum: this.collector?.status(),
      copying: copies === undefined ? undefined : { directory: auditNotesDir, problem: copies.problem },
      timestamps:
        timestamper === undefined ? undefined : { authority: tsaUrl, stampedAt: timestamper.stampedAt, problem: timestamper.problem },
    };
  }
}

async function readPolicy(file: string, { keys, logger }: WitnessingOptions): Promise<Policy> {
  const wrong = (what: string): ConfigError => new ConfigError([`FABULA_AUDIT_POLICY=${file} cannot be used: ${what}`]);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw wrong(errorText(error));
  }
  try {
    const policy = parsePolicy(text);
    const own = await keys.verifierKey();
    if (policy.logs.length > 0 && policy.logs.every(({ verifier }) => verifier.vkey !== own))
      logger.warn({ file, verifierKey: own }, 'the policy names logs, but not the key of this one');
    return policy;
  } catch (error) {
    if (error instanceof MalformedPolicy) throw wrong(error.message);
    throw error;
  }
}

function forkText({ kind, oldSize, witness }: ForkReport): string {
  const name = witness.slice(0, witness.indexOf('+'));
  return kind === 'FORK'
    ? `two histories of the audit are signed: ${name} has cosigned another tree of ${oldSize} than this store's; GET /audit/forks has both notes`
    : `the audit store was set back: ${name} has cosigned a tree of ${oldSize}, which this store does not have; GET /audit/forks has both notes`;
}
