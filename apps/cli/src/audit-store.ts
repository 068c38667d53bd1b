import type { StoreReport } from '#lib/audit';
import type { StoreWorkAnswer } from './audit-types.js';
import { findingText } from './bundle-report.js';
import type { Cli } from './cli.js';
import { connect, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT } from './exit-codes.js';
import type { HttpClient } from './http-client.js';
import { counted, grouped, json, oneLine, painter, table, wrapped } from './layout.js';
import { progress, things, type Amounts } from './progress.js';
import type { Terminal } from './terminal.js';

type Options = ConnectionOptions & { readonly json?: true };
interface RebuiltTrees {
  readonly trees: readonly { readonly log: string; readonly size: string }[];
}

const POLL_MS = 250;

/** Lets the server look for tampering in its whole audit store; answers the verifier's exit code. */
export async function verifyStored(cli: Cli, options: Options): Promise<number> {
  const { terminal } = cli;
  const http = await connect(cli, options);
  const done = await carriedOut<StoreReport>(cli, http, 'verification', 'verifying', things('leaf', 'leaves'));
  const report = reportOf(done, 'verification');
  if (options.json) terminal.out(json({ url: http.address.url, ...report }));
  else reportText(terminal, http.address.url, report);
  return report.ok ? EXIT.ok : report.exitCode;
}

export async function rebuildStored(cli: Cli, options: Options): Promise<number> {
  const { terminal } = cli;
  const http = await connect(cli, options);
  const done = await carriedOut<RebuiltTrees>(cli, http, 'rebuild', 'rebuilding', things('record'));
  const { trees } = reportOf(done, 'rebuild');
  const leaves = trees.reduce((sum, { size }) => sum + Number(size), 0);
  terminal.out(
    options.json
      ? json({ url: http.address.url, trees })
      : `${painter(terminal)('green', '✓')} ${counted(trees.length, 'tree')} built anew from the log: ${counted(leaves, 'leaf', 'leaves')}, and every signed note still binds\n`,
  );
  return EXIT.ok;
}

/** Orders the work and waits for it. Leaving earlier leaves it running. */
async function carriedOut<Report>(
  cli: Cli,
  http: HttpClient,
  what: 'verification' | 'rebuild',
  title: string,
  amounts: Amounts,
): Promise<StoreWorkAnswer<Report>> {
  const path = `/audit/store/${what}`;
  const { value: ordered } = await http.post<StoreWorkAnswer<Report>>(path);
  const bar = progress(cli, title, amounts);
  try {
    for (let work = ordered; ; work = await http.get<StoreWorkAnswer<Report>>(path)) {
      const total = work.progress.reduce((sum, tree) => sum + tree.total, 0);
      const done = work.progress.reduce((sum, tree) => sum + Math.min(tree.done, tree.total), 0);
      bar.update(done, total);
      if (work.state !== 'running') return work;
      await cli.sleep(POLL_MS);
    }
  } finally {
    bar.stop();
  }
}

function reportOf<Report>({ state, error, report }: StoreWorkAnswer<Report>, what: string): Report {
  if (state === 'done' && report !== null) return report;
  throw new CliFailure(
    state === 'failed'
      ? `The ${what} failed: ${oneLine(error ?? 'the server gave no reason')}`
      : `The ${what} is not known any more: was the server started again?`,
  );
}

function reportText(terminal: Terminal, url: string, report: StoreReport): void {
  const paint = painter(terminal);
  const { ok, exitCode, findings, findingsTotal, trees, pruned, notShown } = report;
  terminal.out(`${paint('bold', `the audit store of ${oneLine(url)}`)}\n\n`);
  if (trees.length > 0) {
    terminal.out(
      table(terminal, trees, [
        { title: 'tree', cell: ({ log }) => log },
        { title: 'leaves', cell: ({ leaves }) => leaves },
        { title: 'notes', cell: ({ notes }) => notes },
        { title: 'findings', cell: ({ log }) => findings.filter(({ where }) => where.tree === log).length },
        {
          title: 'verdicts',
          cell: ({ verdicts }) =>
            Object.entries(verdicts)
              .map(([verdict, count]) => `${grouped(count)} ${verdict}`)
              .join(', '),
          flexible: true,
        },
      ]),
    );
    terminal.out('\n');
  }
  for (const finding of findings) terminal.out(findingText(terminal, finding));
  if (findingsTotal > findings.length) terminal.out(`  … and ${counted(findingsTotal - findings.length, 'more finding')}\n`);
  const leaves = trees.reduce((sum, tree) => sum + tree.leaves, 0);
  terminal.out(
    ok
      ? `${paint('green', '✓')} ${paint('bold', 'Nothing was tampered with')}: ${counted(leaves, 'leaf', 'leaves')} in ${counted(trees.length, 'tree')} are what the log gives and what was signed\n`
      : `${paint('red', '✗')} ${paint('bold', 'Not genuine')}: ${counted(findingsTotal, 'finding')}, exit code ${exitCode}\n`,
  );
  terminal.out(paint('dim', `${wrapped('The server checked itself: an export is checked without it.', terminal.columns)}\n`));
  for (const { log, retention, below, leaves: gone, action: id } of pruned) {
    const text = `${log}: ${counted(gone, 'leaf', 'leaves')} of ${oneLine(retention)} below ${below} were pruned, action ${oneLine(id)}; their hashes were followed`;
    terminal.out(paint('dim', `  - ${wrapped(text, terminal.columns, '    ')}\n`));
  }
  for (const one of notShown) terminal.out(paint('dim', `  - not shown: ${wrapped(oneLine(one), terminal.columns, '    ')}\n`));
}
