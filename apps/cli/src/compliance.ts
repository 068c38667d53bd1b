import { Option, type Command } from 'commander';
import { wholeNumber } from './arguments.js';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { EXIT, wrongUsage } from './exit-codes.js';
import { instant, json, oneLine, painter, table } from './layout.js';

type Options = ConnectionOptions & { readonly json?: true };

/** `GET /admin/compliance/actions`, as far as it is printed. */
interface ActionView {
  readonly id: string;
  readonly kind: string;
  readonly stage: string;
  readonly reason: string;
  readonly proposedBy: string;
  readonly proposedAs: string;
  readonly proposedAt: number;
  readonly expiresAt: number;
  readonly decidedBy: string | null;
  readonly decidedAs: string | null;
  readonly blocked: string | null;
  readonly failed: { readonly attempts: number; readonly lastError: string } | null;
  readonly action: Readonly<Record<string, unknown>> | null;
  readonly result: unknown;
}
interface HoldView {
  readonly id: string;
  readonly scope: { readonly kind: string; readonly id: string };
  readonly matter: string;
  readonly placedBy: string;
  readonly placedAt: number;
  readonly until: number | null;
  readonly releasedAt: number | null;
}
interface EventView {
  readonly sequence: number;
  readonly at: number;
  readonly type: string;
  readonly subject: string;
  readonly actor: string;
  readonly role: string;
  readonly partition: number;
  readonly offset: number;
  readonly correlationId: string;
}
interface GlassView {
  readonly id: string;
  readonly by: string;
  readonly until: number;
  readonly correlationId: string;
}
interface DoneView {
  readonly id: string;
  readonly duplicate: boolean;
  readonly until?: number;
  readonly underWay?: readonly string[];
}

const STAGES = ['proposed', 'approved', 'begun', 'carried-out', 'refused', 'withdrawn', 'expired'];
const SCOPES = ['subject', 'story', 'playthrough'];
const BASE = '/admin/compliance';

/** `fabula compliance …`, for data protection officers, administrators and those who watch them. */
export function complianceCommands(program: Command, cli: Cli, ending: Ending): void {
  const group = program.command('compliance').description('legal holds, erasures and other acts of two persons, and broken glasses');
  const asking = (name: string, what: string): Command =>
    connecting(group.command(name).description(what).option('--json', 'for programs'));
  const reasoned = (command: Command): Command => command.requiredOption('--reason <text>', 'why, 3 to 500 characters, no personal data');

  noted(
    asking('actions', 'list actions, last proposed first')
      .addOption(new Option('--stage <stage>', 'only these').choices(STAGES))
      .option('--kind <kind>', 'only of this kind'),
    {
      details: 'Roles dpo, admin, compliance. BLOCKED says why an approved action has not begun.',
      examples: ['fabula compliance actions --stage approved'],
      exits: [[EXIT.problems, 'Some of those listed are blocked or fail.']],
    },
  ).action(action(ending, (options: Options & { stage?: string; kind?: string }) => actions(cli, options)));

  noted(
    reasoned(asking('propose', 'propose an action, which another person must approve'))
      .argument('<kind>', 'erase, prune, release-hold, rotate-signing-key, rotate-kek, set-retention')
      .argument('<details>', 'the rest of the action, as JSON')
      .option('--minutes <n>', 'how long it waits for approval', wholeNumber(1, 20_160)),
    {
      details: 'Role dpo or admin, by the kind of action. `<details>` are its fields as docs/how-to/keep-and-hold.md names them.',
      examples: [`fabula compliance propose erase "$(cat erase.json)" --reason "request 815"`],
    },
  ).action(
    action(ending, (kind: string, details: string, { reason, minutes, ...options }: Options & { reason: string; minutes?: number }) =>
      done(cli, options, '/actions', { action: { ...objectOf(details), kind }, reason, expiresInMinutes: minutes }, 'proposed'),
    ),
  );

  const decide = (name: string, what: string, word: string): void => {
    noted(asking(name, what).argument('<id>', 'the action'), { details: 'Roles dpo, admin or compliance, by the kind of action.' }).action(
      action(ending, (id: string, options: Options) => done(cli, options, `/actions/${encodeURIComponent(id)}/${name}`, {}, word)),
    );
  };
  decide('approve', 'approve what another person proposed', 'approved');
  decide('withdraw', 'take back what you proposed', 'withdrawn');
  noted(reasoned(asking('refuse', 'refuse what another person proposed').argument('<id>', 'the action')), {
    details: 'Roles dpo, admin or compliance, by the kind of action; also after it was approved, until it begins.',
  }).action(
    action(ending, (id: string, { reason, ...options }: Options & { reason: string }) =>
      done(cli, options, `/actions/${encodeURIComponent(id)}/refuse`, { reason }, 'refused'),
    ),
  );

  noted(asking('holds', 'list legal holds, last placed first').option('--active', 'only those that stand'), {
    details: 'Roles dpo, admin, compliance.',
    examples: ['fabula compliance holds --active'],
  }).action(action(ending, (options: Options & { active?: true }) => holds(cli, options)));

  noted(
    asking('hold', 'place a legal hold: nothing it names is erased or pruned')
      .addOption(new Option('--scope <kind>', 'what is held; left out: everything').choices(SCOPES))
      .option('--id <id>', 'the pseudonym, the story or the playthrough')
      .requiredOption('--matter <text>', 'what it is held for, 3 to 500 characters, no personal data')
      .option('--until <time>', 'it ends then by itself, ISO 8601 with an offset'),
    {
      details: 'Role dpo. One person is enough to place a hold; two release it.',
      examples: ['fabula compliance hold --scope subject --id r-… --matter "case 12"'],
    },
  ).action(action(ending, (options: HoldOptions) => hold(cli, options)));

  noted(reasoned(asking('release', 'propose to release a hold, which another person must approve')).argument('<hold>', 'the hold'), {
    details: 'Role dpo. It takes effect with the approval.',
  }).action(
    action(ending, (id: string, { reason, ...options }: Options & { reason: string }) =>
      done(cli, options, `/holds/${encodeURIComponent(id)}/release`, { reason }, 'proposed'),
    ),
  );

  noted(
    asking('break-glass', 'say for whom bodies are open now, or open them for yourself')
      .option('--open <minutes>', 'for so long, at most 60', wholeNumber(1, 60))
      .option('--reason <text>', 'why, when opening')
      .option('--close <id>', 'end one early'),
    {
      details: 'Roles operator and admin open; dpo, compliance and admin close what others opened. Recorded, and an alarm.',
      examples: ['fabula compliance break-glass --open 15 --reason "outage 815"'],
    },
  ).action(action(ending, (options: GlassOptions) => breakGlass(cli, options)));

  noted(asking('events', 'print all that was ever decided, oldest first'), {
    details: 'Roles dpo, admin, compliance. Partition and offset lead to the leaf in the audit log.',
  }).action(action(ending, (options: Options) => events(cli, options)));
}

async function actions(cli: Cli, { stage, kind, ...options }: Options & { stage?: string; kind?: string }): Promise<number> {
  const { terminal } = cli;
  const found = await listed<ActionView>(cli, options, '/actions', { stage, kind });
  if (options.json) terminal.out(json({ actions: found }));
  else if (found.length === 0) terminal.out('There are none.\n');
  else
    terminal.out(
      table(terminal, found, [
        { title: 'id', cell: (row) => row.id },
        { title: 'kind', cell: (row) => row.kind },
        { title: 'stage', cell: (row) => row.stage },
        { title: 'about', cell: (row) => aboutOf(row), flexible: true },
        { title: 'proposed', cell: (row) => `${instant(row.proposedAt)} ${row.proposedBy} (${row.proposedAs})`, flexible: true },
        { title: 'decided', cell: (row) => (row.decidedBy === null ? '' : `${row.decidedBy} (${row.decidedAs ?? ''})`), flexible: true },
        { title: 'blocked', cell: (row) => hindranceOf(row), flexible: true },
      ]),
    );
  return found.some((row) => hindranceOf(row) !== '') ? EXIT.problems : EXIT.ok;
}

function aboutOf({ action: given }: ActionView): string {
  const said = given?.['subject'] ?? given?.['hold'] ?? given?.['retention'] ?? given?.['to'] ?? '';
  return typeof said === 'string' ? said : '';
}
const hindranceOf = ({ blocked, failed }: ActionView): string => blocked ?? failed?.lastError ?? '';

async function holds(cli: Cli, { active, ...options }: Options & { active?: true }): Promise<number> {
  const { terminal } = cli;
  const found = await listed<HoldView>(cli, options, '/holds', { active: active === true ? 'true' : undefined });
  if (options.json) terminal.out(json({ holds: found }));
  else if (found.length === 0) terminal.out('There are none.\n');
  else
    terminal.out(
      table(terminal, found, [
        { title: 'id', cell: (row) => row.id },
        { title: 'scope', cell: ({ scope }) => (scope.kind === 'everything' ? 'everything' : `${scope.kind} ${scope.id}`), flexible: true },
        { title: 'matter', cell: (row) => row.matter, flexible: true },
        { title: 'placed', cell: (row) => `${instant(row.placedAt)} ${row.placedBy}`, flexible: true },
        { title: 'until', cell: (row) => (row.until === null ? '' : instant(row.until)) },
        { title: 'released', cell: (row) => (row.releasedAt === null ? '' : instant(row.releasedAt)) },
      ]),
    );
  return EXIT.ok;
}

async function events(cli: Cli, options: Options): Promise<number> {
  const { terminal } = cli;
  const found = await listed<EventView>(cli, options, '/events', {});
  if (options.json) terminal.out(json({ events: found }));
  else if (found.length === 0) terminal.out('There are none.\n');
  else
    terminal.out(
      table(terminal, found, [
        { title: 'n', cell: (row) => row.sequence },
        { title: 'at', cell: (row) => instant(row.at) },
        { title: 'event', cell: (row) => row.type },
        { title: 'about', cell: (row) => row.subject },
        { title: 'by', cell: (row) => `${row.actor} (${row.role})`, flexible: true },
        { title: 'place', cell: (row) => `p${row.partition}/${row.offset}` },
        { title: 'correlation', cell: (row) => row.correlationId, flexible: true },
      ]),
    );
  return EXIT.ok;
}

type HoldOptions = Options & { readonly scope?: string; readonly id?: string; readonly matter: string; readonly until?: string };

function hold(cli: Cli, { scope, id, matter, until, ...options }: HoldOptions): Promise<number> {
  if ((scope === undefined) !== (id === undefined)) throw wrongUsage('--scope and --id go together; without both everything is held.');
  const held = scope === undefined ? { kind: 'everything' } : { kind: scope, id };
  return done(cli, options, '/holds', { scope: held, matter, until }, 'placed');
}

type GlassOptions = Options & { readonly open?: number; readonly reason?: string; readonly close?: string };

async function breakGlass(cli: Cli, { open, reason, close, ...options }: GlassOptions): Promise<number> {
  if (open !== undefined && close !== undefined) throw wrongUsage('--open and --close are two things.');
  if (close !== undefined) return done(cli, options, `/break-glass/${encodeURIComponent(close)}/close`, {}, 'closed');
  if (open !== undefined) {
    if (reason === undefined) throw wrongUsage('--open needs --reason.');
    return done(cli, options, '/break-glass', { reason, minutes: open }, 'open');
  }
  const { terminal } = cli;
  const found: { readonly open: readonly GlassView[] } = await (await connect(cli, options)).get(`${BASE}/break-glass`);
  if (options.json) terminal.out(json(found));
  else if (found.open.length === 0) terminal.out('There are none.\n');
  else
    terminal.out(
      table(terminal, found.open, [
        { title: 'id', cell: (row) => row.id },
        { title: 'for', cell: (row) => row.by, flexible: true },
        { title: 'until', cell: (row) => instant(row.until) },
        { title: 'correlation', cell: (row) => row.correlationId, flexible: true },
      ]),
    );
  return found.open.length === 0 ? EXIT.ok : EXIT.problems;
}

async function listed<T>(
  cli: Cli,
  options: Options,
  path: string,
  query: Readonly<Record<string, string | undefined>>,
): Promise<readonly T[]> {
  const found: T[] = [];
  for await (const one of (await connect(cli, options)).all<T>(BASE + path, query)) found.push(one);
  return found;
}

async function done(cli: Cli, options: Options, path: string, body: object, word: string): Promise<number> {
  const { terminal } = cli;
  const http = await connect(cli, options);
  const { value } = await http.post<DoneView>(BASE + path, { body: JSON.stringify(body), contentType: 'application/json' });
  const paint = painter(terminal);
  if (options.json) terminal.out(json(value));
  else {
    terminal.out(
      `${paint('green', '✓')} ${oneLine(value.id)} ${word}${value.until === undefined ? '' : ` until ${instant(value.until)}`}\n`,
    );
    if (value.underWay !== undefined && value.underWay.length > 0)
      terminal.out(
        `${paint('yellow', '!')} under way already, the hold may be too late for them: ${value.underWay.map(oneLine).join(', ')}\n`,
      );
  }
  return EXIT.ok;
}

function objectOf(text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrongUsage('<details> is not JSON.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongUsage('<details> is a JSON object.');
  return value;
}
