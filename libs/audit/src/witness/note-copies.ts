import { open, opendir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { LogId } from '#lib/log';
import { errorCode, errorText, makeDirectory, pause, syncDirectory, type Timers } from '#lib/platform';
import type { AuditStore } from '../audit-store.js';
import type { LogName } from '../log-name.js';
import { parseDecimal } from '../tlog/index.js';

/** What lies in the folder says something else than the store, or the folder is not there: never overwritten, always said. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
}

export interface NoteCopiesOptions {
  readonly store: AuditStore;
  readonly logId: LogId;
  readonly logs: () => Promise<readonly LogName[]>;
  /** A folder of another owner: a mount that takes each file once. It must be there; it is never made. */
  readonly directory: string;
  /** A small file of this process, outside that folder: remembers that the folder was used, so that an empty mount point is not taken for it. */
  readonly memory: string;
  /** The root tree's newest note that has its quorum of cosignatures. */
  readonly cosigned: () => Promise<{ readonly size: bigint; readonly note: string } | undefined>;
  readonly timers: Timers;
  readonly intervalMs: number;
  /** Told when copying stops working, once until it works again. */
  readonly onProblem: (message: string) => void;
}

const PAGE = 500;
const MARKER = 'fabula-notes';
const SIZE = /^(0|[1-9][0-9]{0,18})\.note$/;

/**
 * Writes every signed note once as `<directory>/<log id>/<tree>/<size>.note`, and the root tree's cosigned ones as `<size>.cosigned.note`.
 * What could not be written is caught up with later, from the store.
 */
export class NoteCopies {
  /** Size of the newest note that lies there, by tree. */
  private readonly reached = new Map<LogName, bigint>();
  private readonly made = new Set<string>();
  /** Why the last round failed; null after one that did not. */
  problem: string | null = null;

  constructor(private readonly options: NoteCopiesOptions) {}

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { timers, intervalMs } = this.options;
    while (!signal.aborted) {
      await this.round(signal);
      await pause(timers, intervalMs, signal);
    }
  }

  async round(signal: AbortSignal): Promise<void> {
    const { directory, logs, cosigned, onProblem } = this.options;
    try {
      await this.sameFolder();
      for (const log of await logs()) await this.copy(log, signal);
      const witnessed = await cosigned();
      if (witnessed !== undefined) await this.write('root', `${witnessed.size}.cosigned`, witnessed.note, true);
      this.problem = null;
    } catch (error) {
      // The folder may be another one when it works again.
      this.reached.clear();
      this.made.clear();
      const problem = errorText(error);
      if (this.problem === null && !signal.aborted) onProblem(`notes of the audit are not copied to ${directory}: ${problem}`);
      this.problem = problem;
    }
  }

  private async copy(log: LogName, signal: AbortSignal): Promise<void> {
    const { store, logId } = this.options;
    const known = this.reached.get(log);
    // The newest file is looked at again: it may be torn, or of a history that the store does not know any more.
    let above = known ?? -1n;
    if (known === undefined) {
      const newest = await this.newest(log);
      above = newest - 1n;
      if (newest > 0n && (await store.notes(log, logId, above, 1))[0]?.size !== newest)
        throw new CopyRefused(`a note of ${log} of size ${newest} lies there that the store does not have: the store was set back`);
    }
    while (!signal.aborted) {
      const notes = await store.notes(log, logId, above, PAGE);
      for (const { size, note } of notes) {
        await this.write(log, String(size), note);
        above = size;
        this.reached.set(log, size);
      }
      if (notes.length < PAGE) return;
    }
  }

  /** 0 when there is none: the first note's size is 1 at least. */
  private async newest(log: LogName): Promise<bigint> {
    let newest = 0n;
    try {
      for await (const { name } of await opendir(this.folder(log))) {
        const size = parseDecimal(SIZE.exec(name)?.[1] ?? '') ?? 0n;
        if (size > newest) newest = size;
      }
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
    return newest;
  }

  /** @param again whether another text under that name is fine: cosignatures are more by and by, and the first ones suffice */
  private async write(log: LogName, name: string, note: string, again = false): Promise<void> {
    const folder = this.folder(log);
    if (!this.made.has(folder)) await makeDirectory(folder);
    this.made.add(folder);
    // A crash may have left the beginning of a file, which a write-once mount keeps: the whole one then stands beside it.
    for (const suffix of ['', '.whole']) {
      const file = path.join(folder, `${name}${suffix}.note`);
      if (await create(file, note)) return syncDirectory(folder);
      const there = await readFile(file, 'utf8');
      if (there === note) return;
      if (there.length < note.length && note.startsWith(there)) continue;
      if (again) return;
      throw new CopyRefused(`${file} holds another note than the store: two histories, keep both`);
    }
    throw new CopyRefused(`${path.join(folder, `${name}.note`)} is torn, twice`);
  }

  private async sameFolder(): Promise<void> {
    const { directory, memory } = this.options;
    const found = await stat(directory).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (found?.isDirectory() !== true) throw new CopyRefused('the folder is not there; is it mounted?');
    const marker = path.join(directory, MARKER);
    if (!(await exists(marker))) {
      if ((await text(memory)) === directory)
        throw new CopyRefused(
          `it is not the folder that was used before: \`${MARKER}\` is missing; mount it, or delete ${memory} to begin with an empty one`,
        );
      await create(marker, 'Signed notes of a Fabula audit, each written once.\n');
    }
    if ((await text(memory)) !== directory) await writeFile(memory, directory);
  }

  private folder(log: LogName): string {
    return path.join(this.options.directory, this.options.logId, log);
  }
}

/** False: something of that name is there. */
async function create(file: string, content: string): Promise<boolean> {
  let handle;
  try {
    handle = await open(file, 'wx', 0o444);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return true;
}

async function text(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
const exists = async (file: string): Promise<boolean> => (await text(file)) !== undefined;
