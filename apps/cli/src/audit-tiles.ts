import path from 'node:path';
import { MalformedNote, MirrorRefused, mirrorTiles, UnverifiedNote, type LogName } from '#lib/audit';
import type { AuditLogs } from './audit-types.js';
import type { Cli } from './cli.js';
import { connect, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT } from './exit-codes.js';
import { ServerRefused, type HttpClient } from './http-client.js';
import { counted, json, oneLine, painter } from './layout.js';
import { progress, things } from './progress.js';
import { keyOf, trusted } from './trusted-keys.js';

export interface TilesCommand {
  readonly out: string;
  readonly log?: LogName;
  readonly key?: string;
  readonly json?: true;
}

/** Brings `<out>/<log>/` up to the newest signed tree of each log: a static tlog-tiles log that any web server can serve. */
export async function mirror(cli: Cli, options: TilesCommand & ConnectionOptions): Promise<number> {
  const http = await connect(cli, options);
  const { verifierKey, trust, logs }: AuditLogs = await http.get('/audit/logs');
  const keys = trusted(options.key === undefined ? (trust ?? verifierKey) : await keyOf(options.key));
  const wanted = logs.filter(({ log, signedSize }) => (options.log === undefined || log === options.log) && signedSize !== '0');
  if (wanted.length === 0) throw new CliFailure(`Nothing of ${options.log ?? 'any tree'} is signed yet.`);
  const done: { readonly log: string; readonly size: string; readonly directory: string }[] = [];
  for (const { log, origin } of wanted) {
    const directory = path.join(options.out, log);
    const bar = progress(cli, log, things('leaf', 'leaves'));
    try {
      const { size } = await mirrorTiles({
        directory,
        keys,
        origin,
        checkpoint: () => http.text(`/audit/logs/${log}/checkpoint`),
        tile: (name) => tile(http, log, name),
        progress: (leaves, of) => bar.update(Number(leaves), Number(of)),
      });
      done.push({ log, size: String(size), directory });
    } catch (error) {
      throw refused(log, error);
    } finally {
      bar.stop();
    }
  }
  const { terminal } = cli;
  if (options.json) terminal.out(json({ logs: done }));
  else {
    const paint = painter(terminal);
    for (const { log, size, directory } of done)
      terminal.out(`${paint('green', '✓')} ${log}: ${counted(Number(size), 'leaf', 'leaves')} in ${oneLine(directory)}\n`);
    if (options.key === undefined)
      terminal.out(paint('yellow', 'signed by the keys that the server names: give the one that you were handed with --key\n'));
  }
  return EXIT.ok;
}

async function tile(http: HttpClient, log: string, name: string): Promise<Uint8Array | 'pruned' | undefined> {
  try {
    return new Uint8Array(await (await http.response(`/audit/logs/${log}/${name}`)).arrayBuffer());
  } catch (error) {
    if (error instanceof ServerRefused && error.status === 404) return undefined;
    if (error instanceof ServerRefused && error.status === 410) return 'pruned';
    throw error;
  }
}

function refused(log: string, error: unknown): unknown {
  if (error instanceof MirrorRefused || error instanceof UnverifiedNote || error instanceof MalformedNote)
    return new CliFailure(`${log} was not taken: ${oneLine(error.message)}`);
  return error;
}
