import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { verifyBundle, type BundleReport, type BundleSource, type VerifyOptions } from '../bundle/verify-bundle.js';
import { csvHead, csvLine } from './csv-view.js';
import { leafView } from './leaf-view.js';
import { ocsfLine } from './ocsf-view.js';

const BUFFERED = 1 << 20;

/**
 * Derives the views of a bundle: `<tree>.csv` and `<tree>.ocsf.ndjson` of every leaf that is shown. The same bundle gives the same bytes.
 * Nothing is left of a bundle that does not verify.
 */
export async function writeViews(
  source: BundleSource,
  directory: string,
  options: VerifyOptions,
): Promise<{ readonly report: BundleReport; readonly files: readonly string[] }> {
  await mkdir(directory, { recursive: true });
  const written = new Map<string, ViewFile>();
  const file = (name: string, head: string): ViewFile => {
    const known = written.get(name) ?? new ViewFile(path.join(directory, `${name}.part`), head);
    written.set(name, known);
    return known;
  };
  let kept = false;
  try {
    const report = await verifyBundle(source, {
      ...options,
      reader: {
        leaf(tree, bytes) {
          const view = leafView(tree, bytes);
          if (view === undefined) return;
          file(`${tree}.csv`, csvHead).add(csvLine(view));
          file(`${tree}.ocsf.ndjson`, '').add(ocsfLine(view));
        },
        async flush() {
          for (const one of written.values()) if (one.full) await one.flush();
        },
      },
    });
    for (const one of written.values()) await one.close();
    if (report.ok) for (const [name, { part }] of written) await rename(part, path.join(directory, name));
    kept = report.ok;
    return { report, files: report.ok ? [...written.keys()].toSorted() : [] };
  } finally {
    if (!kept)
      for (const one of written.values()) {
        await one.close();
        await rm(one.part, { force: true });
      }
  }
}

class ViewFile {
  private handle: FileHandle | undefined;
  private closed = false;

  constructor(
    readonly part: string,
    private pending: string,
  ) {}

  get full(): boolean {
    return this.pending.length >= BUFFERED;
  }
  add(text: string): void {
    this.pending += text;
  }
  async flush(): Promise<void> {
    this.handle ??= await open(this.part, 'w', 0o600);
    const text = this.pending;
    this.pending = '';
    await this.handle.writeFile(text);
  }
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    try {
      await this.flush();
    } finally {
      await this.handle?.close();
    }
  }
}
