import { Option, type Command } from 'commander';
import type { DeadLetterDetail, DeadLetterRetry, DeadLetterView } from '#lib/projections';
import { wholeNumber } from './arguments.js';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { EXIT, wrongUsage } from './exit-codes.js';
import { byteSize, counted, instant, json, oneLine, painter, table } from './layout.js';

type Options = ConnectionOptions & { readonly json?: true };
type ListOptions = Options & { readonly status?: string; readonly kind?: string; readonly partition?: number };
type ReleaseOptions = Options & { readonly reason: string };

/** `GET /admin/dead-letters/{partition}/{offset}` */
type Shown = Omit<DeadLetterDetail, 'bytes'> & {
  /** Null: withheld from operators while the glass is whole. */
  readonly bytes: string | null;
  readonly complete: boolean;
  readonly decoded: unknown;
};

const STATUSES = ['open', 'retried', 'released'];
const KINDS = ['invalid', 'unknown-envelope', 'unknown-event', 'unknown-stream', 'fold-failed', 'store-refused'];
const TONES = { open: 'yellow', retried: 'green', released: 'dim' } as const;
/** Shown of bytes that are no JSON. */
const SHOWN_BYTES = 256;

/** `fabula log dead-letters …`, for operators. */
export function deadLetterCommands(log: Command, cli: Cli, ending: Ending): void {
  const group = log.command('dead-letters').description('records that could not be used: what they are, and what is decided about them');
  const place = (name: string, what: string): Command =>
    connecting(
      group
        .command(name)
        .description(what)
        .argument('<partition>', 'the partition', wholeNumber(0, 4_095))
        .argument('<offset>', 'the offset in it', wholeNumber(0, Number.MAX_SAFE_INTEGER))
        .option('--json', 'for programs'),
    );

  noted(
    connecting(
      group
        .command('list')
        .description('list them in the order in which the log took them')
        .addOption(new Option('--status <status>', 'only these').choices(STATUSES))
        .addOption(new Option('--kind <kind>', 'only these').choices(KINDS))
        .option('--partition <n>', 'only of this partition', wholeNumber(0, 4_095))
        .option('--json', 'for programs'),
    ),
    {
      details: 'Role operator. `open` ones wait for somebody; an `unknown-envelope` holds its partition, a parked stream only itself.',
      examples: ['fabula log dead-letters list --status open'],
      exits: [[EXIT.problems, 'Some of those listed are open.']],
    },
  ).action(action(ending, (options: ListOptions) => list(cli, options)));

  noted(place('show', 'print one; with its bytes behind broken glass'), { details: 'Role operator.' }).action(
    action(ending, (partition: number, offset: number, options: Options) => show(cli, partition, offset, options)),
  );

  noted(place('retry', 'try once more to use a record, after its cause was mended'), {
    details: 'Role operator. For a parked stream all its held-back records are applied, or none.',
    exits: [[EXIT.problems, 'It cannot be used still.']],
  }).action(action(ending, (partition: number, offset: number, options: Options) => retry(cli, partition, offset, options)));

  noted(place('release', 'go on without a record, for a recorded reason').requiredOption('--reason <text>', 'why, 3 to 500 characters'), {
    details:
      'Role operator. Invalid ones and those of parked streams are acknowledged; the stream stays parked. One of an unknown envelope version is from then on invalid for every reader, for ever, and its partition goes on: start the newer version instead, wherever there is one.',
    examples: ['fabula log dead-letters release 3 1742 --reason "by a test tool, #815"'],
  }).action(action(ending, (partition: number, offset: number, options: ReleaseOptions) => release(cli, partition, offset, options)));
}

async function list(cli: Cli, { status, kind, partition, ...options }: ListOptions): Promise<number> {
  const { terminal } = cli;
  const http = await connect(cli, options);
  const query = { status, kind, partition: partition === undefined ? undefined : String(partition) };
  const letters: DeadLetterView[] = [];
  for await (const letter of http.all<DeadLetterView>('/admin/dead-letters', query)) letters.push(letter);
  if (options.json) terminal.out(json({ deadLetters: letters }));
  else if (letters.length === 0) terminal.out('There are none.\n');
  else
    terminal.out(
      table(terminal, letters, [
        { title: 'partition', cell: (row) => row.partition },
        { title: 'offset', cell: (row) => row.offset },
        { title: 'kind', cell: (row) => row.kind },
        { title: 'status', cell: (row) => row.status, tone: (row) => TONES[row.status] },
        { title: 'taken', cell: (row) => instant(row.time) },
        { title: 'size', cell: (row) => byteSize(row.size) },
        { title: 'stream', cell: (row) => row.stream ?? '', flexible: true },
        { title: 'reason', cell: (row) => row.reason, flexible: true },
      ]),
    );
  return letters.some((letter) => letter.status === 'open') ? EXIT.problems : EXIT.ok;
}

const pathOf = (partition: number, offset: number): string => `/admin/dead-letters/${partition}/${offset}`;

async function show(cli: Cli, partition: number, offset: number, options: Options): Promise<number> {
  const { terminal } = cli;
  const letter: Shown = await (await connect(cli, options)).get(pathOf(partition, offset));
  if (options.json) {
    terminal.out(json(letter));
    return EXIT.ok;
  }
  const paint = painter(terminal);
  const line = (name: string, value: string | null): void => {
    if (value !== null && value !== '') terminal.out(`${paint('dim', name.padEnd(10))} ${oneLine(value)}\n`);
  };
  terminal.out(`${paint('bold', letter.kind)} ${paint(TONES[letter.status], letter.status)}\n`);
  line('place', `partition ${partition}, offset ${offset}, taken ${instant(letter.time)}`);
  line('stream', letter.stream);
  line('key', letter.key);
  line('headers', letter.headers);
  line('reason', letter.reason);
  line('size', `${byteSize(letter.size)}${letter.complete ? '' : ', only the beginning is kept here'}`);
  line('sha256', letter.digest);
  if (letter.attempts > 0) line('retried', `${counted(letter.attempts, 'time')}, last: ${letter.lastError ?? ''}`);
  if (letter.release !== null) line('released', `${instant(letter.release.at)} by ${letter.release.by}: ${letter.release.reason}`);
  if (letter.bytes === null) {
    terminal.out(`${paint('dim', 'What it holds is shown only behind broken glass.')}\n`);
    return EXIT.ok;
  }
  const bytes = Buffer.from(letter.bytes, 'base64');
  terminal.out(letter.decoded === null ? `${hex(bytes)}\n` : json(letter.decoded));
  return EXIT.ok;
}

function hex(bytes: Buffer): string {
  const shown = bytes
    .subarray(0, SHOWN_BYTES)
    .toString('hex')
    .replace(/(.{2})(?=.)/g, '$1 ');
  return bytes.length > SHOWN_BYTES ? `${shown} …` : shown;
}

async function retry(cli: Cli, partition: number, offset: number, options: Options): Promise<number> {
  const { terminal } = cli;
  const { value } = await (
    await connect(cli, options)
  ).post<Extract<DeadLetterRetry, { kind: 'applied' }>>(`${pathOf(partition, offset)}/retry`);
  terminal.out(options.json ? json(value) : `${painter(terminal)('green', '✓')} applied: ${counted(value.records, 'record')}\n`);
  return EXIT.ok;
}

async function release(cli: Cli, partition: number, offset: number, { reason, ...options }: ReleaseOptions): Promise<number> {
  const { terminal } = cli;
  if (reason.trim().length < 3 || reason.length > 500) throw wrongUsage('--reason says why, in 3 to 500 characters.');
  const http = await connect(cli, options);
  const { value } = await http.post<DeadLetterView>(`${pathOf(partition, offset)}/release`, {
    body: JSON.stringify({ reason }),
    contentType: 'application/json',
  });
  const what = value.kind === 'unknown-envelope' ? 'is invalid for every reader from now on' : 'is acknowledged';
  terminal.out(
    options.json ? json(value) : `${painter(terminal)('green', '✓')} the record at ${offset} of partition ${partition} ${what}\n`,
  );
  return EXIT.ok;
}
