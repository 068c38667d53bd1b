import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, makeDirectory, replaceFile } from '#lib/platform';
import type { LogName } from './log-name.js';

/** A memory of released notes outside the store: without it, a store that is set back as a whole looks honest. */
export interface NoteKeeper {
  /** The newest note kept for that origin; undefined when there is none. */
  newest(log: LogName): Promise<string | undefined>;
  keep(log: LogName, note: string): Promise<void>;
}

/** Keeps each log's newest note as a file `<dir>/<log>.note`. Put it on another disk or mount than the database. */
export class DirectoryNoteKeeper implements NoteKeeper {
  private made = false;

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
    if (!this.made) await makeDirectory(this.directory);
    // Not while it is written: when that fails, the folder may have been taken away.
    this.made = false;
    await replaceFile(this.file(log), note, 0o644);
    this.made = true;
  }

  private file(log: LogName): string {
    return path.join(this.directory, `${log}.note`);
  }
}
