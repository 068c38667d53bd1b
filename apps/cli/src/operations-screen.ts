import { counted, duration, grouped, painter, plain, table, wrapped } from './layout.js';
import type { Terminal } from './terminal.js';

interface RoleProgress {
  readonly owner: string | null;
  readonly nextOffset: number;
  readonly lagRecords: number;
  readonly lagSeconds: number | null;
}

/** What `GET /admin/operations` answers, as far as it is shown. */
export interface OperationsReport {
  readonly address: string;
  readonly log: { readonly id: string; readonly kind: string; readonly partitions: number };
  readonly processes: readonly string[];
  /** Null while they cannot be read. */
  readonly partitions:
    | readonly {
        readonly partition: number;
        readonly end: number;
        readonly engine: { readonly owner: string | null; readonly breaker: string | null; readonly pending: number | null };
        readonly projector: RoleProgress | null;
        readonly auditor: RoleProgress | null;
        readonly publisher: RoleProgress | null;
      }[]
    | null;
  readonly commands: {
    readonly overSeconds: number;
    readonly perSecond: number;
    readonly p50Ms: number | null;
    readonly p99Ms: number | null;
    readonly outcomes: Readonly<Record<string, number>>;
  };
  readonly busiestStreams: readonly { readonly stream: string; readonly commands: number }[];
  readonly parkedStreams: number | null;
  readonly deadLetters: Readonly<Record<string, number>> | null;
  readonly degraded: readonly { readonly who: string; readonly why: string; readonly whatToDo: string; readonly since: string }[];
}

/** The state of a deployment on one screen, worst last: that is where the eye is. */
export function operationsScreen(terminal: Terminal, report: OperationsReport): string {
  const paint = painter(terminal);
  const { log, processes, commands, partitions, busiestStreams, parkedStreams, deadLetters, degraded } = report;
  const lines = [
    `log ${plain(log.kind)}, ${counted(log.partitions, 'partition')}, ${counted(processes.length, 'process', 'processes')}: ${plain(processes.join(', '))}`,
    partitions === null ? paint('yellow', 'positions cannot be read now\n') : partitionTable(terminal, partitions),
    `commands here, last ${commands.overSeconds} s: ${commands.perSecond}/s${latency(commands)}${outcomesOf(commands.outcomes)}`,
    ...busiestStreams.map(({ stream, commands: count }) => `  busy: ${plain(stream)}, ${counted(count, 'command')}`),
    `parked streams: ${parkedStreams ?? 'unknown'}, open dead letters: ${deadLetters?.['open'] ?? (deadLetters === null ? 'unknown' : 0)}`,
    '',
    degraded.length === 0 ? paint('green', '✓ nothing is degraded') : paint('red', `${counted(degraded.length, 'problem')}:`),
    ...degraded.map(({ who, why, since, whatToDo }) => {
      const when = `${since.slice(0, 19).replace('T', ' ')}Z`;
      return `  ${paint('bold', plain(who))}: ${wrapped(`${why} (since ${when}) → ${whatToDo}`, terminal.columns, '    ')}`;
    }),
    '',
  ];
  return lines.join('\n');
}

type Partition = NonNullable<OperationsReport['partitions']>[number];

function partitionTable(terminal: Terminal, partitions: readonly Partition[]): string {
  const role = (name: 'projector' | 'auditor' | 'publisher') => ({
    title: `${name} behind`,
    cell: (row: Partition) => behind(row[name]),
    tone: (row: Partition) => ((row[name]?.lagRecords ?? 0) > 0 ? ('yellow' as const) : undefined),
  });
  return table(terminal, partitions, [
    { title: 'partition', cell: ({ partition }) => partition },
    { title: 'end', cell: ({ end }) => end },
    {
      title: 'writer',
      cell: ({ engine }) => (engine.owner === 'self' ? 'this server' : (engine.owner ?? 'nobody')),
      tone: ({ engine }) => (engine.owner === null ? 'red' : undefined),
    },
    { title: 'queue', cell: ({ engine }) => (engine.pending === null ? '' : String(engine.pending)) },
    {
      title: 'breaker',
      cell: ({ engine }) => engine.breaker ?? '',
      tone: ({ engine }) => (engine.breaker === null || engine.breaker === 'closed' ? undefined : 'red'),
    },
    role('projector'),
    role('auditor'),
    ...(partitions.some(({ publisher }) => publisher !== null) ? [role('publisher')] : []),
  ]);
}

function behind(progress: RoleProgress | null): string {
  if (progress === null) return 'unknown';
  const { lagRecords, lagSeconds } = progress;
  if (lagRecords === 0) return '0';
  return lagSeconds === null ? grouped(lagRecords) : `${grouped(lagRecords)}, ${duration(lagSeconds * 1_000)}`;
}

function latency({ p50Ms, p99Ms }: OperationsReport['commands']): string {
  return p50Ms === null || p99Ms === null ? '' : `, half within ${duration(p50Ms)}, 99 % within ${duration(p99Ms)}`;
}

function outcomesOf(outcomes: Readonly<Record<string, number>>): string {
  const named = Object.entries(outcomes).toSorted(([, a], [, b]) => b - a);
  return named.length === 0 ? '' : ` (${named.map(([outcome, count]) => `${plain(outcome)} ${grouped(count)}`).join(', ')})`;
}
