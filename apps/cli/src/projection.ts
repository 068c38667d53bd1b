import type { Command } from 'commander';
import type { Generation, ParkedView, PartitionProgress, PartitionStatus, RebuildProgress, RebuildReport } from '#lib/projections';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import type { HttpClient } from './http-client.js';
import { counted, duration, grouped, instant, json, oneLine, painter, table } from './layout.js';
import { progress, things } from './progress.js';

/** `GET /admin/projections` */
export interface ProjectionStatus {
  /** `owner`: `self` is the asked process; null while nobody is known to write the partition. */
  readonly partitions: readonly (PartitionProgress & { readonly owner: string | null })[];
  readonly generations: readonly { readonly n: number; readonly state: Generation['state']; readonly createdAt: string }[];
  readonly rebuild: RebuildState;
  /** Partitions that the asked process projects. */
  readonly projector: readonly PartitionStatus[];
}
type RebuildState =
  | { readonly state: 'none' }
  | { readonly state: 'running'; readonly startedAt: number; readonly partitions: readonly RebuildProgress[] }
  | { readonly state: 'done'; readonly finishedAt: number; readonly report: RebuildReport }
  | { readonly state: 'failed'; readonly finishedAt: number; readonly error: string };

type Options = ConnectionOptions & { readonly json?: true };
const POLL_MS = 250;

/** `fabula projection …`, for operators. */
export function projectionCommands(program: Command, cli: Cli, ending: Ending): void {
  const group = program.command('projection').description('the read models: how far, built anew, what is held back');
  const one = (name: string, what: string): Command => connecting(group.command(name).description(what).option('--json', 'for programs'));

  noted(one('status', 'how far the read models are'), { details: 'Role operator.' }).action(
    action(ending, (options: Options) => status(cli, options)),
  );
  noted(one('rebuild', 'build the read models anew beside the live ones, and switch when they agree'), {
    details: 'Role operator. Readers go on meanwhile. Leaving with Ctrl-C leaves the rebuild running.',
    exits: [[EXIT.problems, 'The rebuild failed, or its result differs from the live read models: nothing was switched.']],
  }).action(action(ending, (options: Options) => rebuild(cli, options)));
  noted(
    connecting(
      group
        .command('parked')
        .description('list streams held back, or apply one again with `retry STREAM`')
        .argument('[retry]', 'the word retry')
        .argument('[stream]', 'the stream, like playthrough/…')
        .option('--json', 'for programs'),
    ),
    {
      details: 'Role operator. A stream is parked when one of its records cannot be applied; others go on.',
      examples: ['fabula projection parked', 'fabula projection parked retry playthrough/0b5c…'],
      exits: [[EXIT.problems, 'Streams are parked, or the stream is parked still.']],
    },
  ).action(action(ending, (word: string | undefined, stream: string | undefined, options: Options) => parked(cli, word, stream, options)));
}

async function status(cli: Cli, options: Options): Promise<number> {
  const { terminal } = cli;
  const found: ProjectionStatus = await (await connect(cli, options)).get('/admin/projections');
  if (options.json) {
    terminal.out(json(found));
    return EXIT.ok;
  }
  const paint = painter(terminal);
  terminal.out(
    table(terminal, found.partitions, [
      { title: 'partition', cell: ({ partition }) => partition },
      { title: 'position', cell: ({ nextOffset }) => nextOffset },
      { title: 'end', cell: ({ end }) => end },
      { title: 'behind', cell: ({ lagRecords }) => lagRecords, tone: ({ lagRecords }) => (lagRecords > 0 ? 'yellow' : undefined) },
      { title: 'for', cell: ({ lagMs }) => (lagMs === 0 ? '' : duration(lagMs)) },
      {
        title: 'projector here',
        cell: ({ partition }) => found.projector.find((one) => one.partition === partition)?.state ?? 'elsewhere',
      },
    ]),
  );
  terminal.out('\n');
  terminal.out(
    table(terminal, found.generations, [
      { title: 'generation', cell: ({ n }) => n },
      { title: 'state', cell: ({ state }) => state, tone: ({ state }) => (state === 'live' ? 'green' : undefined) },
      { title: 'made', cell: ({ createdAt }) => instant(Date.parse(createdAt)) },
    ]),
  );
  const { rebuild: last } = found;
  if (last.state !== 'none') terminal.out(`\n${paint('bold', 'rebuild')} ${rebuildWords(last)}\n`);
  return EXIT.ok;
}

function rebuildWords(last: Exclude<RebuildState, { state: 'none' }>): string {
  if (last.state === 'failed') return `failed at ${instant(last.finishedAt)}: ${oneLine(last.error)}`;
  if (last.state === 'done')
    return `done at ${instant(last.finishedAt)}: generation ${last.report.generation}, ${counted(last.report.records, 'record')}`;
  const { done, end } = sums(last.partitions);
  return `running since ${instant(last.startedAt)}: ${grouped(done)} of ${grouped(end)} records`;
}

const sums = (partitions: readonly { readonly done: number; readonly end: number }[]): { readonly done: number; readonly end: number } =>
  partitions.reduce((sum, { done, end }) => ({ done: sum.done + done, end: sum.end + end }), { done: 0, end: 0 });

async function rebuild(cli: Cli, options: Options): Promise<number> {
  const { terminal } = cli;
  const http = await connect(cli, options);
  await http.post('/admin/projections/rebuild');
  const bar = progress(cli, 'rebuilding', things('record'));
  let last: RebuildState;
  try {
    last = await followRebuild(cli, http, bar);
  } finally {
    bar.stop();
  }
  if (options.json) terminal.out(json(last));
  if (last.state !== 'done')
    throw new CliFailure(
      `The rebuild ${last.state === 'failed' ? `failed: ${oneLine(last.error)}` : 'is not known any more: was the server started again?'}`,
    );
  const { generation, replaced, records, parity } = last.report;
  if (!options.json) {
    const before = replaced === null ? '' : ` in place of ${replaced}`;
    const compared = {
      equal: 'equal to what was live',
      different: 'different from what was live',
      incomparable: 'nothing to compare it with',
    }[parity.kind];
    terminal.out(
      `${painter(terminal)('green', '✓')} generation ${generation} is live${before}: ${counted(records, 'record')} folded, ${compared}\n`,
    );
  }
  return EXIT.ok;
}

async function followRebuild(cli: Cli, http: HttpClient, bar: ReturnType<typeof progress>): Promise<RebuildState> {
  for (;;) {
    const { rebuild: now, partitions }: ProjectionStatus = await http.get('/admin/projections');
    // The total is the log's, since partitions that were not begun yet are not in the rebuild's own list.
    const total = partitions.reduce((sum, { end }) => sum + end, 0);
    if (now.state !== 'running') {
      if (now.state === 'done') bar.update(total, total);
      return now;
    }
    bar.update(Math.min(sums(now.partitions).done, total), total);
    await cli.sleep(POLL_MS);
  }
}

async function parked(cli: Cli, word: string | undefined, stream: string | undefined, options: Options): Promise<number> {
  if (word === undefined) return listParked(cli, options);
  if (word !== 'retry' || stream === undefined)
    throw wrongUsage('Say `fabula projection parked`, or `fabula projection parked retry STREAM`.');
  const http = await connect(cli, options);
  const { value } = await http.post<{ readonly records: number }>(`/admin/parked/${encodeURIComponent(stream)}/retry`);
  const { terminal } = cli;
  terminal.out(
    options.json
      ? json({ stream, ...value })
      : `${painter(terminal)('green', '✓')} ${oneLine(stream)} is no longer parked: ${counted(value.records, 'record')} applied\n`,
  );
  return EXIT.ok;
}

async function listParked(cli: Cli, options: Options): Promise<number> {
  const { terminal } = cli;
  const streams: ParkedView[] = [];
  for await (const stream of (await connect(cli, options)).all<ParkedView>('/admin/parked')) streams.push(stream);
  const exitCode = streams.length === 0 ? EXIT.ok : EXIT.problems;
  if (options.json) terminal.out(json({ parked: streams }));
  else if (streams.length === 0) terminal.out('Nothing is parked.\n');
  else {
    const paint = painter(terminal);
    for (const { stream, partition, code, reason, fromOffset, parkedAt, records, attempts, lastError } of streams) {
      terminal.out(`${paint('yellow', code)}  ${paint('bold', oneLine(stream))}\n`);
      terminal.out(`  ${oneLine(reason)}\n`);
      terminal.out(
        paint(
          'dim',
          `  since ${instant(parkedAt)}, partition ${partition} from offset ${fromOffset}; ${counted(records, 'record')} held back, ${counted(attempts, 'attempt')}\n`,
        ),
      );
      if (lastError !== null) terminal.out(paint('dim', `  last: ${oneLine(lastError)}\n`));
    }
  }
  return exitCode;
}
