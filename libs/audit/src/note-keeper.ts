import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { errorCode } from '#lib/platform';
import type { LogName } from './log-name.js';

/** A memory of released notes outside the store: without it, a store that is set back as a whole looks honest. */
export interface NoteKeeper {
  /** The newest note kept for that origin; undefined when there is none. */
  newest(log: LogName): Promise<string | undefined>;
  keep(log: LogName, note: string): Promise<void>;
}

/** Keeps each log's newest note as a file `<dir>/<log>.note`. Put it on another disk or mount than the database. */
export class DirectoryNoteKeeper implements NoteKeeper {
  constructor(private readonly directory: string) {}

  async newest(log: LogName): Promise<string | undefined> {
    try {
      return await readFile(this.file(log), 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  async keep(log: LogName, note: string): Promise<void> {
    await mkdir(this.directory, { recursive: true });
    const next = `${this.file(log)}.next`;
    const handle = await open(next, 'w', 0o644);
    try {
      await handle.writeFile(note);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(next, this.file(log));
  }

  private file(log: LogName): string {
    return path.join(this.directory, `${log}.note`);
  }
}
