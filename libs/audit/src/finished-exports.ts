import { readdir, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, type Clock } from '#lib/platform';
import type { AuditStore } from './audit-store.js';
import type { ExportJob } from './export-job.js';

/** Why a finished bundle went: its time was over, another needed its place, or somebody said so. */
export type RemovalReason = 'expired' | 'room' | 'asked';

/** How long and how much of finished bundles is kept. */
export interface ExportLimits {
  readonly days: number;
  /** Of all bundles together, the one that is being written too. */
  readonly maxBytes: number;
}

export interface FinishedExportsOptions {
  readonly store: AuditStore;
  readonly clock: Clock;
  readonly directory: string;
  readonly limits: ExportLimits;
  /** Told before a file goes; when this fails, it stays. */
  readonly removing?: ((job: ExportJob, reason: Exclude<RemovalReason, 'asked'>) => Promise<void>) | undefined;
  /** Free bytes where that directory lies; default: asked of the file system. */
  readonly freeBytes?: ((directory: string) => Promise<number>) | undefined;
}

/** There is no place for a bundle, whatever else goes. */
export class NoRoom extends Error {
  override readonly name = 'NoRoom';
}

interface Bundle {
  readonly id: string;
  readonly file: string;
  readonly bytes: number;
  readonly finishedAt: number;
  readonly job: ExportJob | undefined;
}

const DAY_MS = 86_400_000;
/** Left free for whatever else writes there. */
const RESERVE_BYTES = 64 * 1024 * 1024;
const SUFFIX = '.tar';

/** The files of finished exports of one process: what is too old or too much goes, the oldest first. */
export class FinishedExports {
  constructor(private readonly options: FinishedExportsOptions) {}

  /** Removes what has been there for too long, and what is more than may lie there. */
  async sweep(): Promise<void> {
    const { clock, limits } = this.options;
    const bundles = await this.bundles();
    const old = bundles.filter(({ finishedAt }) => clock.now() - finishedAt >= limits.days * DAY_MS);
    for (const bundle of old) await this.remove(bundle, 'expired');
    await this.shrink(
      bundles.filter((bundle) => !old.includes(bundle)),
      limits.maxBytes,
    );
  }

  /**
   * Before so many bytes are written, as far as that is known. @throws NoRoom where the disk would be full
   */
  async makeRoom(expected: number): Promise<void> {
    const { directory, freeBytes = freeOf } = this.options;
    await this.sweep();
    const needed = expected + RESERVE_BYTES;
    const bundles = await this.bundles();
    const free = await freeBytes(directory);
    // None goes for one that could not be written all the same.
    if (free + bundles.reduce((sum, { bytes }) => sum + bytes, 0) >= needed)
      for (const bundle of [...bundles, undefined]) {
        if ((await freeBytes(directory)) >= needed) return;
        if (bundle !== undefined) await this.remove(bundle, 'room');
      }
    throw new NoRoom(`the export takes about ${expected} bytes, and ${RESERVE_BYTES} are left free: only ${free} are there`);
  }

  /** While one is written that has so many bytes by now: the oldest others go. @throws NoRoom when it alone is too large */
  async fits(bytes: number): Promise<void> {
    const { maxBytes } = this.options.limits;
    if (bytes > maxBytes) throw new NoRoom(`the export has more than ${maxBytes} bytes, which is all that exports may take`);
    await this.shrink(await this.bundles(), maxBytes - bytes);
  }

  /** The file of that export, if it is here; its end is told by whoever asked for it. */
  async removeFile(job: ExportJob): Promise<void> {
    await rm(path.join(this.options.directory, `${job.id}${SUFFIX}`), { force: true });
    await this.removed(job);
  }

  private async shrink(oldestFirst: readonly Bundle[], maxBytes: number): Promise<void> {
    let bytes = oldestFirst.reduce((sum, one) => sum + one.bytes, 0);
    for (const bundle of oldestFirst) {
      if (bytes <= maxBytes) return;
      await this.remove(bundle, 'room');
      bytes -= bundle.bytes;
    }
  }

  private async remove({ file, job }: Bundle, reason: Exclude<RemovalReason, 'asked'>): Promise<void> {
    if (job !== undefined) await this.options.removing?.(job, reason);
    await rm(file, { force: true });
    if (job !== undefined) await this.removed(job);
  }

  private async removed(job: ExportJob): Promise<void> {
    await this.options.store.saveExport({ ...job, removedAt: this.options.clock.now() });
  }

  /** The oldest first. */
  private async bundles(): Promise<readonly Bundle[]> {
    const { directory, store } = this.options;
    const bundles: Bundle[] = [];
    for (const name of await readdir(directory).catch(none)) {
      if (!name.endsWith(SUFFIX)) continue;
      const [file, id] = [path.join(directory, name), name.slice(0, -SUFFIX.length)];
      const found = await stat(file).catch(none);
      if (!('size' in found)) continue;
      const job = await store.export(id);
      bundles.push({ id, file, bytes: found.size, finishedAt: job?.finishedAt ?? found.mtimeMs, job });
    }
    return bundles.toSorted((one, other) => one.finishedAt - other.finishedAt || (one.id < other.id ? -1 : 1));
  }
}

/** Nothing is there. */
function none(error: unknown): [] {
  if (errorCode(error) === 'ENOENT') return [];
  throw error;
}

async function freeOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
