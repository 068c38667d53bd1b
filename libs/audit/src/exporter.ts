import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, errorText, type Clock, type Ids } from '#lib/platform';
import type { LogId } from '#lib/log';
import type { AuditStore } from './audit-store.js';
import type { RecordBodies } from './bundle/bodies.js';
import { PartDiffers, readPart, type WrittenPart } from './bundle/part-file.js';
import { chooseEvidence, evidenceOf, type EvidenceSources, type RootEvidence } from './bundle/root-evidence.js';
import { verifyBundle } from './bundle/verify-bundle.js';
import { newestInRoot } from './bundle/plan-export.js';
import { ExportRefused, planExport, writeBundle, type ExportPlan } from './bundle/write-bundle.js';
import { FinishedExports, type ExportLimits, type FinishedExportsOptions } from './finished-exports.js';
import type { ExportJob, ExportKeeper, ExportRange, ExportWish } from './export-job.js';
import { partitionLog, type LogName } from './log-name.js';
import type { NoteSigner } from './tlog/index.js';

export interface ExporterOptions extends EvidenceSources {
  readonly store: AuditStore;
  readonly logId: LogId;
  readonly partitions: number;
  /** The current key, and while both sign the one before it; asked for each bundle. */
  readonly signer: NoteSigner | (() => Promise<readonly NoteSigner[]>);
  readonly clock: Clock;
  readonly ids: Ids;
  /** Where finished bundles lie, readable by their owner alone. */
  readonly directory: string;
  /** This process, as the jobs it takes name it. */
  readonly keeper: ExportKeeper;
  /** The trust policy (C2SP tlog-policy) that goes with each bundle; default: the signer's key, and no witness. */
  readonly policy?: () => Promise<string | undefined>;
  /** The verifier as one file that needs only Node, which goes with each bundle; default: none. */
  readonly verifier?: () => Promise<Buffer | undefined>;
  /** Whether what was taken up after a crash verifies in the end; default: it is verified by this process. */
  readonly holdsTogether?: (bundle: string) => Promise<boolean>;
  /** The records that leaves are about; default: none can be exported. */
  readonly bodies?: RecordBodies;
  /** As `BundleOptions.entriesBytes`. */
  readonly entriesBytes?: number;
  /** How long and how much of finished bundles is kept; default: everything, for ever. */
  readonly limits?: ExportLimits;
  readonly removing?: FinishedExportsOptions['removing'];
  readonly freeBytes?: FinishedExportsOptions['freeBytes'];
  /** Told of a whole file before it can be had; when this fails, so does the export. */
  readonly releasing?: (job: ExportJob & { readonly file: NonNullable<ExportJob['file']> }) => Promise<void>;
}

/** So many exports may wait; more are refused, since each may be large. */
export const MAX_WAITING_EXPORTS = 16;
const SAVE_EVERY_LEAVES = 20_000;
/** After so many bytes more it is seen whether all exports still fit. */
const WEIGHED_BYTES = 16 * 1024 * 1024;

export class TooManyExports extends Error {
  override readonly name = 'TooManyExports';
}
/** Another process writes it and keeps its file. */
export class KeptElsewhere extends Error {
  override readonly name = 'KeptElsewhere';
  constructor(readonly keptBy: ExportKeeper) {
    super(`the export is kept at ${keptBy.address}: only that process can cancel or remove it`);
  }
}
class Cancelled extends Error {}

/** About so much a leaf takes: whole with its line, as a hash alone, with its record. */
const LEAF_BYTES = { whole: 1_000, filtered: 150, bodies: 4_000 };

/** Writes requested exports one after another in the background; jobs and files survive a restart. */
export class Exporter {
  private readonly waiting: string[] = [];
  private readonly cancelled = new Set<string>();
  private working: Promise<void> | undefined;
  private closed = false;
  /** The one that is being written. */
  private current: { readonly id: string; readonly done: Promise<void> } | undefined;
  private readonly finished: FinishedExports;

  constructor(private readonly options: ExporterOptions) {
    this.finished = new FinishedExports({
      ...options,
      limits: options.limits ?? { days: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY },
    });
  }

  /** Removes finished bundles that are too old or too much. */
  sweep(): Promise<void> {
    return this.finished.sweep();
  }

  /** Takes up what this process left unfinished when it ended: those exports go on where they stood. Those of other processes are theirs. */
  async resume(): Promise<void> {
    const jobs = await this.options.store.exports(1000);
    await this.removeStrayParts(jobs);
    for (const job of jobs.toReversed()) if ((job.state === 'queued' || job.state === 'running') && this.keeps(job)) this.enqueue(job.id);
  }

  /**
   * Queues an export of these ranges, or of every tree; filtered, of the partitions' trees.
   * @throws ExportRefused for ranges outside the signed trees, and what cannot be filtered or continued; TooManyExports
   */
  async request(ranges: readonly ExportRange[] | 'everything', requestedBy: string, wish: ExportWish = {}): Promise<ExportJob> {
    if (this.waiting.length >= MAX_WAITING_EXPORTS)
      throw new TooManyExports(`${this.waiting.length} exports are waiting; try again when one is done`);
    const { store, logId, clock, ids } = this.options;
    const { filter } = wish;
    if (wish.bodies === true && this.options.bodies === undefined) throw new ExportRefused('this process has no records to export');
    const earlier = wish.since === undefined ? undefined : await this.notesOf(wish.since);
    const asked = ranges === 'everything' ? await this.everything(filter !== undefined) : ranges;
    const wanted = asked.map((range) => continuing(range, earlier?.get(range.log)));
    const rootSince = earlier?.get('root');
    const plan = await planExport(store, logId, wanted, {
      ...(filter === undefined ? {} : { filter }),
      ...(rootSince === undefined ? {} : { rootSince }),
    });
    const job: ExportJob = {
      id: ids.uuid(),
      requestedBy,
      requestedAt: clock.now(),
      keptBy: this.options.keeper,
      // Resolved now, so that a later start exports the same leaves; a time is resolved when it is written.
      ranges: filter?.kind === 'time' ? wanted : wanted.map((range, i) => ({ ...range, to: plan.parts[i]?.to ?? range.from })),
      ...(filter === undefined ? {} : { filter }),
      ...(wish.bodies === true ? { bodies: true } : {}),
      asked: ranges === 'everything' ? 'everything' : 'part',
      // Newer notes would name leaves that are not among these.
      signed: signedIn(plan),
      ...(rootSince === undefined ? {} : { rootSince: String(rootSince) }),
      state: 'queued',
      leavesWritten: 0,
      leavesTotal: plan.leaves,
      finishedAt: null,
      file: null,
      error: null,
    };
    await store.saveExport(job);
    this.enqueue(job.id);
    return job;
  }

  job(id: string): Promise<ExportJob | undefined> {
    return this.options.store.export(id);
  }
  jobs(limit: number): Promise<readonly ExportJob[]> {
    return this.options.store.exports(limit);
  }

  /** Path of a finished export; undefined while it is not finished, when its file is gone or when another process has it. */
  async file(id: string): Promise<string | undefined> {
    const job = await this.job(id);
    if (job?.state !== 'done' || job.file === null || job.removedAt !== undefined) return undefined;
    const file = path.join(this.options.directory, job.file.name);
    try {
      return (await stat(file)).size === job.file.bytes ? file : undefined;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
  /** Whether this process is the one that writes it and keeps its file. */
  keeps(job: ExportJob): boolean {
    return job.keptBy.id === this.options.keeper.id;
  }

  /**
   * Drops one that waits, stops one that is being written, removes the file of a finished one: nothing of it stays on the disk. Waits for that
   * one alone. Undefined: there is none of that id. @throws KeptElsewhere
   */
  async remove(id: string): Promise<ExportJob | undefined> {
    const job = await this.job(id);
    if (job === undefined) return undefined;
    if (!this.keeps(job)) throw new KeptElsewhere(job.keptBy);
    const place = this.waiting.indexOf(id);
    if (place >= 0) this.waiting.splice(place, 1);
    if (this.current?.id === id) {
      this.cancelled.add(id);
      await this.current.done;
      this.cancelled.delete(id);
    }
    const now = (await this.job(id)) ?? job;
    if (now.state === 'queued' || now.state === 'running') {
      await rm(path.join(this.options.directory, `${id}.tar.part`), { force: true });
      await this.options.store.saveExport({ ...now, state: 'cancelled', finishedAt: this.options.clock.now() });
    } else if (now.state === 'done' && now.removedAt === undefined) await this.finished.removeFile(now);
    return this.job(id);
  }

  /** Until everything queued is written. */
  async idle(): Promise<void> {
    while (this.working !== undefined) await this.working;
  }

  /** Stops after the page at hand; unfinished exports are taken up by `resume`. */
  async close(): Promise<void> {
    this.closed = true;
    await this.working;
  }

  /** Sizes of the notes that a finished export holds. */
  private async notesOf(id: string): Promise<ReadonlyMap<LogName, bigint>> {
    const { state, signed } = (await this.job(id)) ?? {};
    if (state !== 'done' || signed === undefined)
      throw new ExportRefused(`${id} is no finished export whose notes are known: name one, or a size per range`);
    return new Map(signed.map(({ log, size }) => [log, BigInt(size)]));
  }

  /** Trees that the root tree's newest note names: one whose first note has just been kept stands there a moment later. */
  private async everything(filtered: boolean): Promise<ExportRange[]> {
    const { store, logId, partitions } = this.options;
    const root = await store.latestNote('root', logId);
    const named = async (log: LogName): Promise<boolean> =>
      root !== undefined && (await newestInRoot(store, logId, log, root.size)) !== undefined;
    const ranges: ExportRange[] = [];
    const bases = await store.bases(logId);
    for (let partition = 0; partition < partitions; partition++) {
      const log = partitionLog(partition);
      if (await named(log)) ranges.push({ log, from: bases.find((base) => base.log === log)?.size ?? 0n });
    }
    if (!filtered && (await named('access'))) ranges.push({ log: 'access', from: 0n });
    return [...ranges, { log: 'root', from: 0n }];
  }

  private enqueue(id: string): void {
    this.waiting.push(id);
    this.working ??= this.work().finally(() => (this.working = undefined));
  }

  private async work(): Promise<void> {
    for (let id = this.waiting.shift(); id !== undefined && !this.closed; id = this.waiting.shift()) {
      const done = this.takeUp(id);
      this.current = { id, done };
      try {
        await done;
      } finally {
        this.current = undefined;
      }
    }
  }

  private async takeUp(id: string): Promise<void> {
    const job = await this.job(id);
    if (job?.state === 'queued' || job?.state === 'running') await this.write(job);
  }

  private async write(job: ExportJob): Promise<void> {
    const { store, clock, directory } = this.options;
    const name = `${job.id}.tar`;
    const part = path.join(directory, `${name}.part`);
    let now: ExportJob = { ...job, state: 'running', leavesWritten: 0 };
    const save = async (change: Partial<ExportJob>): Promise<void> => {
      now = { ...now, ...change };
      await store.saveExport(now);
    };
    try {
      await save({});
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const attempt = async (): Promise<WrittenFile> => {
        const begun = await readPart(part);
        const plan = await this.planOf(job);
        const beside = job.beside ?? (await chooseEvidence(this.options, plan.root.size));
        await save({ leavesTotal: plan.leaves, leavesWritten: 0, signed: signedIn(plan), beside });
        await this.finished.makeRoom(plan.leaves * LEAF_BYTES[job.bodies === true ? 'bodies' : filteredBy(job)] - (begun?.bytes ?? 0));
        let weighed = 0;
        const evidence = await evidenceOf(this.options, store, this.options.logId, beside);
        return this.writeFile(part, job, { ...plan, evidence }, begun, async (leavesWritten, bytes) => {
          if (bytes - weighed >= WEIGHED_BYTES) {
            weighed = bytes;
            await this.finished.fits(bytes);
          }
          if (this.closed || this.cancelled.has(job.id)) throw new Cancelled();
          if (leavesWritten - now.leavesWritten >= SAVE_EVERY_LEAVES) await save({ leavesWritten });
        });
      };
      const file = await attempt().catch(async (error: unknown) => {
        if (!(error instanceof PartDiffers)) throw error;
        await rm(part);
        return attempt();
      });
      await this.finished.fits(file.bytes);
      await this.options.releasing?.({ ...now, file: { name, ...file } });
      await rename(part, path.join(directory, name));
      await save({ state: 'done', leavesWritten: now.leavesTotal, finishedAt: clock.now(), file: { name, ...file } });
    } catch (error) {
      // Stopping keeps what is written: the next start goes on with it.
      const goesOn = error instanceof Cancelled && !this.cancelled.has(job.id);
      if (!goesOn) await rm(part, { force: true });
      if (!(error instanceof Cancelled)) await save({ state: 'failed', finishedAt: clock.now(), error: errorText(error) });
      else if (this.cancelled.delete(job.id)) await save({ state: 'cancelled', finishedAt: clock.now() });
    }
  }

  private async writeFile(
    part: string,
    job: ExportJob,
    { evidence, ...plan }: ExportPlan & { readonly evidence: RootEvidence },
    begun: WrittenPart | undefined,
    progress: (leaves: number, bytes: number) => Promise<void>,
  ): Promise<WrittenFile> {
    const { store, logId } = this.options;
    const [signer, previousSigner] = typeof this.options.signer === 'function' ? await this.options.signer() : [this.options.signer];
    if (signer === undefined) throw new RangeError('there is no key to sign with');
    const policy = await this.options.policy?.();
    const rootNote = await this.options.cosigned?.(plan.root);
    const verifier = await this.options.verifier?.();
    const digest = createHash('sha256');
    let bytes = begun?.bytes ?? 0;
    if (begun !== undefined) {
      await truncate(part, bytes);
      for await (const chunk of createReadStream(part)) digest.update(chunk as Buffer);
    }
    const handle = await open(part, begun === undefined ? 'w' : 'a', 0o600);
    let written: Awaited<ReturnType<typeof writeBundle>>;
    try {
      written = await writeBundle({
        store,
        logId,
        signer,
        ...(previousSigner === undefined ? {} : { previousSigner }),
        id: job.id,
        createdAt: job.requestedAt,
        plan,
        ...(job.asked === undefined ? {} : { asked: job.asked }),
        ...(policy === undefined ? {} : { policy }),
        ...(rootNote === undefined ? {} : { rootNote }),
        evidence,
        ...(verifier === undefined ? {} : { verifier }),
        ...(begun === undefined ? {} : { written: begun.members }),
        ...(job.bodies !== true || this.options.bodies === undefined ? {} : { bodies: this.options.bodies }),
        ...(this.options.entriesBytes === undefined ? {} : { entriesBytes: this.options.entriesBytes }),
        progress: (leaves) => progress(leaves, bytes),
        write: async (chunk) => {
          digest.update(chunk);
          bytes += chunk.length;
          await handle.writeFile(chunk);
        },
      });
      await handle.sync();
    } finally {
      await handle.close();
    }
    // A crash of the machine may have left anything in what was taken over.
    const { holdsTogether = async (bundle: string) => (await verifyBundle(bundle, { accept: 'part' })).ok } = this.options;
    if (begun !== undefined && !(await holdsTogether(part))) throw new PartDiffers('what was written before does not verify');
    return { bytes, sha256: digest.digest('hex'), ...written };
  }

  /** Taken up: with the notes that it was begun with. */
  private planOf({ ranges, filter, rootSince, signed }: ExportJob): Promise<ExportPlan> {
    return planExport(this.options.store, this.options.logId, ranges, {
      ...(filter === undefined ? {} : { filter }),
      ...(rootSince === undefined ? {} : { rootSince: BigInt(rootSince) }),
      ...(signed === undefined ? {} : { signed: new Map(signed.map(({ log, size }) => [log, BigInt(size)])) }),
    });
  }

  /** What a process that was killed left of exports that are no more to be written. */
  private async removeStrayParts(jobs: readonly ExportJob[]): Promise<void> {
    const unfinished = new Set(jobs.filter(({ state }) => state === 'queued' || state === 'running').map(({ id }) => `${id}.tar.part`));
    const names = await readdir(this.options.directory).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return [];
      throw error;
    });
    for (const name of names)
      if (name.endsWith('.tar.part') && !unfinished.has(name)) await rm(path.join(this.options.directory, name), { force: true });
  }
}

interface WrittenFile {
  readonly bytes: number;
  readonly sha256: string;
  readonly manifestSha256: string;
}

const filteredBy = ({ filter }: ExportJob): 'filtered' | 'whole' => (filter?.kind === 'term' ? 'filtered' : 'whole');

function continuing(range: ExportRange, since: bigint | undefined): ExportRange {
  return since === undefined || range.since !== undefined ? range : { ...range, since };
}

function signedIn({ parts, root }: ExportPlan): NonNullable<ExportJob['signed']> {
  const notes = parts.filter(({ log }) => log !== 'root').map(({ log, note }) => ({ log, size: String(note.size) }));
  return [...notes, { log: 'root', size: String(root.size) }];
}
