import { Option, type Command } from 'commander';
import type { Pool } from 'pg';
import { PostgresAuditStore } from '#lib/audit';
import {
  copyLog,
  CopyRefused,
  createPostgresReleases,
  KafkaFileUnreadable,
  LogDamaged,
  LogNotMigrated,
  LogRefused,
  LogUnavailable,
  NO_RELEASES,
  NotDurable,
  PartitionCountDiffers,
  UnknownVerdict,
  UnsafeTopic,
  type CopyReport,
  type EventLog,
} from '#lib/log';
import { ConfigError, DataDirectoryLocked, loadConfig, systemClock, systemIds, systemTimers } from '#lib/platform';
import { wholeNumber } from './arguments.js';
import { action, noted, type Cli, type Ending } from './cli.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import { counted, grouped, json, oneLine, painter } from './layout.js';
import { LOG_KINDS, LogEndpoints, Opened, type EndOptions, type LogKind } from './log-endpoint.js';
import { progress, things } from './progress.js';

interface Options {
  readonly from: LogKind;
  readonly to: LogKind;
  readonly toPartitions?: number;
  readonly fromUrl?: string;
  readonly toUrl?: string;
  readonly fromName?: string;
  readonly toName?: string;
  readonly memory: number;
  readonly json?: true;
}

/** What is wrong with the logs or the environment, and says by itself what to do. */
const REFUSALS = [CopyRefused, UnknownVerdict, PartitionCountDiffers, LogDamaged, LogRefused, LogNotMigrated, NotDurable, UnsafeTopic];

/** `fabula log copy`: another adapter, or another partition count. Needs no server, and that none is at work. */
export function copyCommand(group: Command, cli: Cli, ending: Ending): void {
  noted(
    group
      .command('copy')
      .description('copy a log into a new one: of another kind, or with another partition count')
      .addOption(new Option('--from <kind>', 'where the log is').choices(LOG_KINDS).makeOptionMandatory())
      .addOption(new Option('--to <kind>', 'where the new log is to be').choices(LOG_KINDS).makeOptionMandatory())
      .option('--to-partitions <n>', 'partitions of the new log (default: as many)', wholeNumber(1, 4_096))
      .option('--from-url <url>', 'database, brokers or EventStoreDB of the log (default: the settings of the server)')
      .option('--to-url <url>', 'database, brokers or EventStoreDB of the new log (default: the settings of the server)')
      .option('--from-name <name>', 'topic or prefix of streams of the log (default: the settings of the server)')
      .option('--to-name <name>', 'topic or prefix of streams of the new log (default: the settings of the server)')
      .option('--memory <MiB>', 'memory for heads of streams; with less a partition is read more often', wholeNumber(1, 65_536), 512)
      .option('--json', 'for programs'),
    {
      details:
        'Stop every server first: a copy is refused while an engine is at work, and when the old log grows meanwhile. Reads the settings of the server (DATABASE_URL, KAFKA_BROKERS, …). What was accepted is appended again, byte for byte; duplicates, conflicts and garbage are left behind. Interrupted, the same command goes on. At the end the new log is read again and the heads of all streams are compared.',
      examples: [
        'fabula log copy --from postgres --to kafka --to-partitions 12',
        'fabula log copy --from kafka --to kafka --to-name turns.2 --to-partitions 24',
      ],
      exits: [[EXIT.problems, 'The copy was refused, or is not the same: do not use it.']],
    },
  ).action(action(ending, (options: Options) => copy(cli, options)));
}

async function copy(cli: Cli, options: Options): Promise<number> {
  const opened = new Opened();
  const interrupted = new AbortController();
  const onInterrupt = (): void => interrupted.abort(new CliFailure('Interrupted. The same command goes on where this one was.'));
  process.once('SIGINT', onInterrupt);
  try {
    return await carryOut(cli, options, opened, interrupted.signal);
  } catch (error) {
    if (error instanceof ConfigError || error instanceof KafkaFileUnreadable || error instanceof DataDirectoryLocked)
      throw wrongUsage(error.message);
    if (error instanceof LogUnavailable) throw new CliFailure(error.message, EXIT.unreachable);
    if (REFUSALS.some((kind) => error instanceof kind)) throw new CliFailure((error as Error).message);
    throw error;
  } finally {
    process.off('SIGINT', onInterrupt);
    await opened.close();
  }
}

async function carryOut(cli: Cli, options: Options, opened: Opened, signal: AbortSignal): Promise<number> {
  const endpoints = new LogEndpoints(loadConfig(cli.env), opened);
  const source: EndOptions = { kind: options.from, url: options.fromUrl, name: options.fromName };
  const target: EndOptions = { kind: options.to, url: options.toUrl, name: options.toName };
  for (const [end, side] of [
    [source, 'from'],
    [target, 'to'],
  ] as const)
    if (end.kind === 'postgres' && end.name !== undefined)
      throw wrongUsage(`A database holds one log, and it has no name: give --${side}-url instead of --${side}-name.`);
  if (source.kind === target.kind && source.url === target.url && source.name === target.name)
    throw wrongUsage(`Both ends are the same: give ${target.kind === 'postgres' ? '' : '--to-name or '}--to-url.`);
  const from = await endpoints.existing(source);
  await refuseEngines(endpoints, source);
  const database = source.kind === 'postgres' ? await endpoints.databaseOf(source) : await endpoints.serverDatabase();
  const to = await targetOf(endpoints, target, options.toPartitions ?? from.partitions);
  const note = await lastNote(database, from);
  const report = await copied(cli, options, { from, to, note, database, signal });
  await refuseEngines(endpoints, source);
  const settings = { ...endpoints.settingsOf(target), FABULA_PARTITIONS: String(to.partitions), FABULA_ADOPT_LOG: report.to };
  if (options.json) cli.terminal.out(json({ ...report, sealedNote: note !== null, settings }));
  else say(cli, report, note !== null, settings);
  return EXIT.ok;
}

async function targetOf(endpoints: LogEndpoints, target: EndOptions, partitions: number): Promise<EventLog> {
  try {
    return await endpoints.target(target, partitions);
  } catch (error) {
    if (!(error instanceof PartitionCountDiffers)) throw error;
    throw new CliFailure(
      `${endpoints.placeOf(target)} holds a log that was created with ${counted(error.written, 'partition')}: ` +
        `--to-partitions ${error.written} goes on with a copy that was begun there; any other copy needs a place of its own.`,
    );
  }
}

async function refuseEngines(endpoints: LogEndpoints, source: EndOptions): Promise<void> {
  const engines = await endpoints.enginesOn(source);
  if (engines.length === 0) return;
  throw new CliFailure(
    `${counted(engines.length, 'engine is', 'engines are')} at work on the log: stop every server first.`,
    EXIT.problems,
    engines,
  );
}

/** The newest signed note on the root of the log's audit trees. */
async function lastNote(database: Pool | undefined, from: EventLog): Promise<string | null> {
  if (database === undefined) return null;
  return (await new PostgresAuditStore(database).latestNote('root', await from.id()))?.note ?? null;
}

interface Work {
  readonly from: EventLog;
  readonly to: EventLog;
  readonly note: string | null;
  readonly database: Pool | undefined;
  readonly signal: AbortSignal;
}

async function copied(cli: Cli, options: Options, { from, to, note, database, signal }: Work): Promise<CopyReport> {
  let bar: ReturnType<typeof progress> | undefined;
  let phase: string | undefined;
  try {
    return await copyLog({
      from,
      to,
      note,
      releases: database === undefined ? NO_RELEASES : createPostgresReleases(database, await from.id()),
      clock: systemClock,
      timers: systemTimers,
      ids: systemIds,
      memoryBytes: options.memory * 1024 * 1024,
      signal,
      onProgress: ({ phase: now, done, total }) => {
        if (now !== phase) {
          bar?.stop();
          bar = progress(cli, now, things('record'));
          phase = now;
        }
        bar?.update(done, total);
      },
    });
  } finally {
    bar?.stop();
  }
}

function say({ terminal }: Cli, report: CopyReport, sealed: boolean, settings: Readonly<Record<string, string>>): void {
  const paint = painter(terminal);
  const { records, streams, partitions, leftBehind, repeated, to } = report;
  terminal.out(
    `${paint('green', '✓')} ${paint('bold', counted(records, 'record'))} of ${counted(streams, 'stream')} stand in log ${oneLine(to)}, ` +
      `byte for byte, in ${counted(partitions.to, 'partition')} instead of ${partitions.from}; the heads of both logs agree\n`,
  );
  if (leftBehind > 0) terminal.out(`  left behind, because they counted for nothing: ${grouped(leftBehind)}\n`);
  if (repeated > 0) terminal.out(`  twice in the new log, and counting once: ${grouped(repeated)}\n`);
  if (!sealed)
    terminal.out(
      `  ${paint('yellow', 'no signed note was sealed')}: the database of the server was not given, or its auditor has signed none\n`,
    );
  const lines = Object.entries(settings).map(([name, value]) => `  ${name}=${oneLine(value)}\n`);
  terminal.out(
    `\nStart one server with\n\n${lines.join('')}\nthen \`fabula audit rebuild\`, and without FABULA_ADOPT_LOG from then on (docs/how-to/move-the-log.md).\n`,
  );
}
