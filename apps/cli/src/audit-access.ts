import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { verifyBundle, type AccessEntry, type BundleReport } from '#lib/audit';
import type { Cli } from './cli.js';
import { connect, type ConnectionOptions } from './connection.js';
import { EXIT, wrongUsage } from './exit-codes.js';
import { instant, json, oneLine, painter, table } from './layout.js';

export interface AccessCommand {
  readonly actor?: string;
  readonly event?: string;
  readonly outcome?: string;
  readonly correlationId?: string;
  /** Its id, or its file. */
  readonly export?: string;
  readonly playthrough?: string;
  readonly story?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
  readonly json?: true;
}

/** `GET /audit/access` */
interface AccessPage {
  readonly entries: readonly AccessEntry[];
  readonly next: string | null;
}

const PAGE = 1_000;

/** A bundle at hand, as the access log names it. */
interface Handed {
  readonly exportId: string;
  readonly sha256: string;
  readonly manifestSha256: string | null;
}

/** Who looked at what, newest first; answers 1 when a file is given that nobody was handed. */
export async function listAccesses(cli: Cli, options: AccessCommand & ConnectionOptions): Promise<number> {
  const { terminal } = cli;
  const http = await connect(cli, options);
  const { actor, event, outcome, correlationId, from, to } = options;
  const file = options.export === undefined || UUID.test(options.export) ? undefined : await handed(options.export);
  const exportId = file?.exportId ?? options.export;
  const query = { actor, event, outcome, correlationId, exportId, playthroughId: options.playthrough, storyId: options.story, from, to };
  const entries: AccessEntry[] = [];
  let after: string | undefined;
  do {
    const page: AccessPage = await http.get('/audit/access', { ...query, first: Math.min(PAGE, options.limit - entries.length), after });
    entries.push(...page.entries);
    after = page.next ?? undefined;
  } while (after !== undefined && entries.length < options.limit);
  const known = file === undefined || entries.some((entry) => isOf(entry, file) !== null);
  if (options.json) {
    terminal.out(json({ entries, more: after !== undefined, ...(file === undefined ? {} : { file, known }) }));
    return known ? EXIT.ok : EXIT.problems;
  }
  terminal.out(
    table(terminal, entries, [
      ...(exportId === undefined ? [] : [{ title: 'entry', cell: ({ index }: AccessEntry) => index }]),
      { title: 'when', cell: ({ time }) => instant(Number(time)) },
      { title: 'event', cell: ({ event: what }) => what },
      { title: 'times', cell: ({ count }) => count ?? '1' },
      { title: 'by', cell: ({ actor: who, roles }) => (who === null ? '' : `${who} (${roles.join(', ')})`), flexible: true },
      { title: 'action', cell: ({ action }) => action, flexible: true },
      { title: 'what', cell: ({ target }) => targetText(target), flexible: true },
      ...(file === undefined ? [] : [{ title: 'names', cell: (entry: AccessEntry) => isOf(entry, file) ?? '' }]),
      { title: 'outcome', cell: ({ outcome: became }) => became, tone: ({ outcome: became }) => (became === 'ok' ? 'dim' : 'yellow') },
    ]),
  );
  if (file === undefined) return EXIT.ok;
  const paint = painter(terminal);
  terminal.out(
    known
      ? `${paint('green', '✓')} The access log names this export. To prove an entry: fabula audit prove --log access --index <entry>\n`
      : `${paint('red', '✗')} No entry names this file: sha256 ${file.sha256}, manifest ${file.manifestSha256 ?? 'none'}\n`,
  );
  return known ? EXIT.ok : EXIT.problems;
}

/** Whether an entry names that very file, or the bundle in it though it was packed again. */
function isOf({ target }: AccessEntry, { sha256, manifestSha256 }: Handed): 'this file' | 'this manifest' | null {
  if (target['sha256'] === sha256) return 'this file';
  return manifestSha256 !== null && target['manifestSha256'] === manifestSha256 ? 'this manifest' : null;
}

/** @throws CliFailure for a file that cannot be read, or is no export at all */
async function handed(file: string): Promise<Handed> {
  const digest = createHash('sha256');
  let report: BundleReport;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 18 })) digest.update(chunk as Buffer);
    report = await verifyBundle(file, { accept: 'part' });
  } catch (error) {
    throw wrongUsage(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { ok, exportId, manifestSha256, findings } = report;
  if (exportId === null || !UUID.test(exportId)) throw wrongUsage(`${file} is no export: ${findings[0]?.message ?? 'it has no id'}`);
  // A manifest names only what agrees with it.
  return { exportId, manifestSha256: ok ? manifestSha256 : null, sha256: digest.digest('hex') };
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const targetText = (target: AccessEntry['target']): string =>
  oneLine(
    Object.entries(target)
      .map(([name, value]) => `${name}=${value}`)
      .join(' '),
  );
