import { Option, type Command } from 'commander';
import type { PublisherStatus } from '#lib/feed';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { EXIT } from './exit-codes.js';
import { json, oneLine, painter, table } from './layout.js';

type Options = ConnectionOptions & { readonly json?: true };
type ResetOptions = Options & { readonly to: 'start' | 'end' };

/** `GET /admin/feed` */
interface FeedView {
  readonly topic: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly nextOffset: number;
    readonly end: number;
    readonly lagRecords: number;
    readonly foreign: boolean;
  }[];
  /** Partitions that the asked process publishes; absent in the answer to a reset. */
  readonly publisher?: readonly PublisherStatus[];
}

/** `fabula feed …`, for operators. */
export function feedCommands(program: Command, cli: Cli, ending: Ending): void {
  const group = program.command('feed').description('the public feed of events on Kafka');
  noted(connecting(group.command('status').description('how far the feed is, in each partition').option('--json', 'for programs')), {
    details: 'Role operator. The feed goes no further than the audit, which holds the verdicts.',
    exits: [[EXIT.problems, 'A position is not of this log: nothing is published there before a reset.']],
  }).action(action(ending, (options: Options) => status(cli, options)));
  noted(
    connecting(
      group
        .command('reset')
        .description('set from where the log is published')
        .addOption(new Option('--to <place>', 'from where').choices(['start', 'end']).makeOptionMandatory())
        .option('--json', 'for programs'),
    ),
    {
      details:
        'Role operator. `start` publishes everything again: the same events with the same ids, so that consumers who leave out repeats see nothing new. `end` never publishes what is not published yet.',
      examples: ['fabula feed reset --to start'],
    },
  ).action(action(ending, (options: ResetOptions) => reset(cli, options)));
}

async function status(cli: Cli, options: Options): Promise<number> {
  const view: FeedView = await (await connect(cli, options)).get('/admin/feed');
  return shown(cli, options, view);
}

async function reset(cli: Cli, { to, ...options }: ResetOptions): Promise<number> {
  const http = await connect(cli, options);
  const { value } = await http.post<FeedView>('/admin/feed/reset', { body: JSON.stringify({ to }), contentType: 'application/json' });
  return shown(cli, options, value);
}

function shown(cli: Cli, options: Options, view: FeedView): number {
  const { terminal } = cli;
  const { topic, partitions, publisher = [] } = view;
  const exitCode = partitions.some(({ foreign }) => foreign) ? EXIT.problems : EXIT.ok;
  if (options.json) {
    terminal.out(json(view));
    return exitCode;
  }
  const paint = painter(terminal);
  const here = (partition: number): PublisherStatus | undefined => publisher.find((one) => one.partition === partition);
  terminal.out(`${paint('bold', 'topic')} ${oneLine(topic)}\n`);
  terminal.out(
    table(terminal, partitions, [
      { title: 'partition', cell: ({ partition }) => partition },
      {
        title: 'position',
        cell: ({ nextOffset, foreign }) => (foreign ? 'not of this log' : nextOffset),
        tone: ({ foreign }) => (foreign ? 'red' : undefined),
      },
      { title: 'end', cell: ({ end }) => end },
      { title: 'behind', cell: ({ lagRecords }) => lagRecords, tone: ({ lagRecords }) => (lagRecords > 0 ? 'yellow' : undefined) },
      ...(view.publisher === undefined
        ? []
        : [{ title: 'publisher here', cell: ({ partition }: { readonly partition: number }) => here(partition)?.state ?? 'elsewhere' }]),
    ]),
  );
  for (const { partition, problem } of publisher) {
    if (problem !== null) terminal.out(`${paint('yellow', `partition ${partition}`)} ${oneLine(problem)}\n`);
  }
  return exitCode;
}
