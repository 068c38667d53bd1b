import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import {
  ALARMS,
  formatMonitorState,
  MalformedMonitorState,
  monitorRound,
  parseMonitorState,
  type Alarm,
  type AlarmName,
  type MonitoredLogs,
  type MonitorRound,
  type MonitorSource,
  type MonitorState,
  type Reconciliation,
} from '#lib/audit';
import { DataDirectoryLocked, errorCode, lockDataDirectory } from '#lib/platform';
import type { Cli } from './cli.js';
import { connect, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import { ServerRefused, type HttpClient } from './http-client.js';
import { oneLine, painter } from './layout.js';
import { keyOf, trusted } from './trusted-keys.js';

export interface MonitorCommand {
  readonly vkey: string;
  readonly state: string;
  readonly interval: number;
  readonly stale: number;
  readonly once?: true;
  readonly fromStart?: true;
  readonly metricsFile?: string;
  readonly json?: true;
}

/** What each alarm means, for help and reference. */
const MEANINGS: Readonly<Record<AlarmName, string>> = {
  BAD_SIGNATURE: 'A note that no trusted key signed, or that speaks of another tree.',
  ENTRIES_DIFFER: 'Entries that do not give the signed root.',
  ROLLED_BACK: 'A tree is smaller than it was signed and shown.',
  FORK: 'Two signed histories of one tree; the notes are evidence.',
  MALFORMED: 'An answer that is not in the form that Fabula gives.',
  UNREACHABLE: 'The server does not answer, or does not let the monitor in.',
  OTHER_LOG: 'Another log than the one that was watched.',
  NOTE_NOT_IN_ROOT: 'A note was shown that the root tree does not hold.',
  STALE: 'Nothing was signed or published again for too long.',
  LOG_SHRANK: 'The log ends before leaves or read models do, or ended later before.',
  AUDIT_STANDS: 'The auditor does not go on although the log does.',
  PROJECTION_STANDS: 'The projector does not go on although the log does.',
  COUNTS_DIFFER: 'Read models count other verdicts than the leaves.',
};
export const monitorExits = (): readonly (readonly [code: number, meaning: string])[] =>
  (Object.keys(ALARMS) as AlarmName[]).map((name) => [ALARMS[name], `${name}: ${MEANINGS[name]}`] as const);

const PAGE = 1_000n;
const MAX_STATE_BYTES = 64 * 1024 * 1024;

/** Watches until Ctrl-C, or once; the exit code is the worst alarm's of the last round. */
export async function monitor(cli: Cli, options: MonitorCommand & ConnectionOptions): Promise<number> {
  const keys = trusted(await keyOf(options.vkey));
  await mkdir(options.state, { recursive: true, mode: 0o700 });
  const lock = await lockDataDirectory(options.state).catch((error: unknown) => {
    if (error instanceof DataDirectoryLocked) throw wrongUsage(`${options.state} is another monitor's: process ${error.pid} uses it.`);
    throw error;
  });
  try {
    const file = path.join(options.state, 'monitor.json');
    let state = await stateIn(file);
    for (;;) {
      const round = await looked(cli, options, keys, state);
      if (round.state !== undefined && round.state !== state) await written(file, formatMonitorState(round.state));
      state = round.state;
      told(cli, options, round);
      if (options.metricsFile !== undefined) await written(options.metricsFile, metricsOf(round, cli.now()));
      if (options.once) return round.alarms[0]?.exitCode ?? EXIT.ok;
      await cli.sleep(options.interval * 1_000);
    }
  } finally {
    await lock.release();
  }
}

async function looked(
  cli: Cli,
  options: MonitorCommand & ConnectionOptions,
  keys: ReturnType<typeof trusted>,
  state: MonitorState | undefined,
): Promise<MonitorRound> {
  try {
    const source = sourceOf(await connect(cli, options));
    const fromStart = options.fromStart === true;
    return await monitorRound({ source, keys, now: cli.now(), state, staleMs: options.stale * 1_000, fromStart });
  } catch (error) {
    const malformed = error instanceof TypeError || error instanceof SyntaxError || error instanceof RangeError;
    if (!malformed && !(error instanceof CliFailure && error.exitCode !== EXIT.usage)) throw error;
    const name = malformed ? 'MALFORMED' : 'UNREACHABLE';
    const alarm: Alarm = { name, exitCode: ALARMS[name], message: oneLine(error.message) };
    return { state, alarms: [alarm], trees: [] };
  }
}

/** The audit API, asked without believing it. */
function sourceOf(http: HttpClient): MonitorSource {
  const of = (log: string): string => `/audit/logs/${encodeURIComponent(log)}`;
  return {
    logs: () => http.get<MonitoredLogs>('/audit/logs'),
    checkpoint: async (log) => {
      try {
        return await http.text(`${of(log)}/checkpoint`);
      } catch (error) {
        if (error instanceof ServerRefused && error.status === 404) return undefined;
        throw error;
      }
    },
    entries: async (log, from, to) => {
      const end = to < from + PAGE ? to : from + PAGE;
      const bytes = Buffer.from(
        await (await http.response(`${of(log)}/entries`, { query: { from: String(from), to: String(end) } })).arrayBuffer(),
      );
      const lines: Buffer[] = [];
      for (let at = 0; at < bytes.length;) {
        const newline = bytes.indexOf(10, at);
        const stop = newline < 0 ? bytes.length : newline;
        lines.push(bytes.subarray(at, stop));
        at = stop + 1;
      }
      return lines;
    },
    inclusion: (log, index, size) => http.get(`${of(log)}/proof/inclusion`, { index: String(index), size: String(size) }),
    consistency: async (log, from, to) =>
      (await http.get<{ readonly hashes: readonly string[] }>(`${of(log)}/proof/consistency`, { from: String(from), to: String(to) }))
        .hashes,
    reconciliation: () => http.get<Reconciliation>('/audit/reconciliation'),
  };
}

function told({ terminal, now }: Cli, options: MonitorCommand, { alarms, trees }: MonitorRound): void {
  const at = new Date(now()).toISOString();
  if (options.json) {
    const sizes = Object.fromEntries(trees.map(({ log, size }) => [log, String(size)]));
    terminal.out(`${JSON.stringify({ at, ok: alarms.length === 0, trees: sizes, alarms })}\n`);
    return;
  }
  const paint = painter(terminal);
  if (alarms.length === 0) {
    const leaves = trees.reduce((sum, { size }) => sum + size, 0n);
    terminal.out(`${paint('green', '✓')} ${at} ${trees.length} trees, ${leaves} leaves\n`);
  }
  for (const { name, message, notes = [] } of alarms) {
    terminal.out(`${paint('red', '✗')} ${at} ${paint('bold', name)}: ${oneLine(message)}\n`);
    for (const note of notes) terminal.out(`${note.replace(/^/gm, '  | ')}\n`);
  }
}

/** For the textfile collector of Prometheus' node exporter. */
function metricsOf({ alarms, trees }: MonitorRound, now: number): string {
  const lines = ['# TYPE fabula_monitor_alarm gauge'];
  for (const name of Object.keys(ALARMS) as AlarmName[])
    lines.push(`fabula_monitor_alarm{name="${name}"} ${alarms.filter((alarm) => alarm.name === name).length}`);
  lines.push('# TYPE fabula_monitor_tree_size gauge');
  for (const { log, size } of trees) if (/^[a-z0-9]+$/.test(log)) lines.push(`fabula_monitor_tree_size{log="${log}"} ${size}`);
  lines.push('# TYPE fabula_monitor_round_timestamp_seconds gauge', `fabula_monitor_round_timestamp_seconds ${now / 1_000}`);
  return `${lines.join('\n')}\n`;
}

async function stateIn(file: string): Promise<MonitorState | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw wrongUsage(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    if (text.length > MAX_STATE_BYTES) throw new MalformedMonitorState('the monitor has no state of that size');
    return parseMonitorState(text);
  } catch (error) {
    if (error instanceof MalformedMonitorState)
      throw wrongUsage(`${file}: ${error.message}`, 'Restore it; without it nothing holds the server to what was seen before.');
    throw error;
  }
}

/** Whole, or as it was before. */
async function written(file: string, text: string): Promise<void> {
  const handle = await open(`${file}.next`, 'w', 0o644);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.next`, file);
}
