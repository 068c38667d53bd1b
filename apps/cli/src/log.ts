import type { Command } from 'commander';
import { bigCount, wholeNumber } from './arguments.js';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { deadLetterCommands } from './dead-letters.js';
import { EXIT, wrongUsage } from './exit-codes.js';
import { json } from './layout.js';
import { copyCommand } from './log-copy.js';
import { topicsCommand } from './log-topics.js';
import { operationsScreen, type OperationsReport } from './operations-screen.js';

type Options = ConnectionOptions & { readonly json?: true };
type DumpOptions = ConnectionOptions & { readonly partition: number; readonly from?: bigint; readonly to?: bigint };

/** Leaves that the server gives at once. */
const PAGE = 1_000n;

/** `fabula log …` */
export function logCommands(program: Command, cli: Cli, ending: Ending): void {
  const group = program.command('log').description('the log of record');

  noted(
    connecting(
      group
        .command('status')
        .description('partitions, owners, lag, throughput, what is parked, and who is degraded and why')
        .option('--json', 'for programs'),
    ),
    {
      details: 'Role operator.',
    },
  ).action(action(ending, (options: Options) => status(cli, options)));

  noted(
    connecting(
      group
        .command('dump')
        .description('print the records of a partition as NDJSON, one audit leaf a line')
        .requiredOption('--partition <n>', 'the partition', wholeNumber(0, 4_095))
        .option('--from <index>', 'first leaf (default: 0)', bigCount)
        .option('--to <index>', 'leaf to stop before (default: the end)', bigCount),
    ),
    {
      details: 'Role compliance. A leaf holds the envelope, verdict, digest and narrative context of one record; the bytes are exact.',
      examples: ['fabula log dump --partition 0 --from 100 --to 200 | jq .verdict'],
    },
  ).action(action(ending, (options: DumpOptions) => dump(cli, options)));

  topicsCommand(group, cli, ending);

  copyCommand(group, cli, ending);

  deadLetterCommands(group, cli, ending);
}

async function status(cli: Cli, options: Options): Promise<number> {
  const http = await connect(cli, options);
  const operations: OperationsReport = await http.get('/admin/operations');
  cli.terminal.out(options.json ? json({ url: http.address.url, ...operations }) : operationsScreen(cli.terminal, operations));
  return EXIT.ok;
}

async function dump(cli: Cli, { partition, from = 0n, to, ...options }: DumpOptions): Promise<number> {
  if (to !== undefined && to < from) throw wrongUsage('--to comes before --from.');
  const http = await connect(cli, options);
  let at = from;
  for (;;) {
    const stop = to === undefined || at + PAGE < to ? at + PAGE : to;
    if (at >= stop) break;
    const response = await http.response(`/audit/logs/p${partition}/entries`, { query: { from: String(at), to: String(stop) } });
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.length === 0) break;
    await cli.terminal.pour(bytes);
    at += linesIn(bytes);
  }
  return EXIT.ok;
}

function linesIn(bytes: Uint8Array): bigint {
  let lines = 0n;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) lines++;
  return lines;
}
