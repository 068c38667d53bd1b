import type { Command } from 'commander';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { EXIT } from './exit-codes.js';
import { instant, json, table } from './layout.js';

type Options = ConnectionOptions & { readonly json?: true };

/** `GET /admin/compliance/retention`, as far as it is printed. */
interface ClassView {
  readonly name: string;
  readonly purpose: string;
  readonly keepDays: number | null;
  readonly setBy: string | null;
  readonly oldest: { readonly time: number } | null;
  readonly expired: readonly { readonly partition: number; readonly offset: number; readonly leaves: number; readonly atLeast: boolean }[];
  readonly heldBy: readonly { readonly id: string }[];
  readonly pruned: readonly { readonly leaves: number }[];
}

interface PartitionView {
  readonly partition: number;
  readonly begin: number;
  readonly end: number;
  readonly base: { readonly offset: number; readonly digest: string; readonly action: string } | null;
}

/** `fabula compliance retention`. */
export function retentionCommands(program: Command, cli: Cli, ending: Ending): void {
  const group =
    program.commands.find((command) => command.name() === 'compliance') ??
    program.command('compliance').description('legal holds, erasures and other acts of two persons, and broken glasses');
  const command = connecting(group.command('retention').description('show how long what is recorded is kept, and what may be pruned'));
  noted(command.option('--json', 'for programs, with the offsets that the action `prune` takes'), {
    details: 'Roles dpo, admin, compliance.',
    examples: ['fabula compliance retention --json'],
    exits: [[EXIT.problems, 'The time of something is over: it may be pruned, or is held.']],
  }).action(action(ending, (options: Options) => retention(cli, options)));
}

async function retention(cli: Cli, options: Options): Promise<number> {
  const { terminal } = cli;
  const found: { readonly classes: readonly ClassView[]; readonly log?: readonly PartitionView[] } = await (
    await connect(cli, options)
  ).get('/admin/compliance/retention');
  if (options.json) terminal.out(json(found));
  else
    terminal.out(
      table(terminal, found.classes, [
        { title: 'class', cell: (row) => row.name },
        { title: 'kept', cell: (row) => (row.keepDays === null ? 'without an end' : `${row.keepDays} days`) },
        { title: 'set by', cell: (row) => row.setBy ?? 'default' },
        { title: 'oldest', cell: (row) => (row.oldest === null ? '' : instant(row.oldest.time)) },
        { title: 'over', cell: expiredLeaves },
        { title: 'held by', cell: (row) => row.heldBy.map(({ id }) => id).join(' '), flexible: true },
        { title: 'pruned', cell: (row) => String(row.pruned.reduce((sum, { leaves }) => sum + leaves, 0)) },
      ]),
    );
  const begun = (found.log ?? []).filter(({ base }) => base !== null);
  if (!options.json && begun.length > 0)
    terminal.out(
      `\n${table(terminal, begun, [
        { title: 'partition', cell: (row) => row.partition },
        { title: 'begins', cell: (row) => row.begin },
        { title: 'ends', cell: (row) => row.end },
        { title: 'base up to', cell: (row) => row.base?.offset ?? '' },
        { title: 'action', cell: (row) => row.base?.action ?? '' },
        { title: 'digest', cell: (row) => row.base?.digest ?? '', flexible: true },
      ])}`,
    );
  return found.classes.some(({ expired }) => expired.length > 0) ? EXIT.problems : EXIT.ok;
}

function expiredLeaves({ expired }: ClassView): string {
  const leaves = expired.reduce((sum, one) => sum + one.leaves, 0);
  return `${leaves}${expired.some(({ atLeast }) => atLeast) ? '+' : ''}`;
}
