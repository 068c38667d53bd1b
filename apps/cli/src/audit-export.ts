import { createHash } from 'node:crypto';
import { access, open, rename, rm } from 'node:fs/promises';
import type { ExportAnswer } from './audit-types.js';
import type { Cli } from './cli.js';
import { connect, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import type { HttpClient } from './http-client.js';
import { byteSize, counted, json, oneLine, painter } from './layout.js';
import { progress, BYTES, things } from './progress.js';

export interface ExportCommand {
  readonly out: string;
  readonly partition?: number;
  readonly from?: bigint;
  readonly to?: bigint;
  readonly playthrough?: string;
  readonly actor?: string;
  readonly story?: string;
  readonly correlation?: string;
  readonly after?: string;
  readonly before?: string;
  readonly since?: string;
  readonly bodies?: true;
  readonly json?: true;
}

const POLL_MS = 250;

export async function exportBundle(cli: Cli, options: ExportCommand & ConnectionOptions): Promise<number> {
  const { terminal } = cli;
  const { out, partition, from, to } = options;
  if (partition === undefined && (from !== undefined || to !== undefined)) throw wrongUsage('--from and --to go with --partition.');
  if (from !== undefined && to !== undefined && to < from) throw wrongUsage('--to comes before --from.');
  if (await exists(out)) throw wrongUsage(`${out} is there already: evidence is not overwritten.`);
  const http = await connect(cli, options);
  const range = {
    log: `p${partition}`,
    ...(from === undefined ? {} : { from: String(from) }),
    ...(to === undefined ? {} : { to: String(to) }),
  };
  const wish = filterOf(options);
  const body = JSON.stringify({
    ...(partition === undefined ? {} : { ranges: [range] }),
    ...(wish === undefined ? {} : { filter: wish }),
    ...(options.bodies === undefined ? {} : { bodies: true }),
    ...(options.since === undefined ? {} : { since: options.since }),
  });
  const { value: ordered } = await http.post<ExportAnswer>('/audit/exports', { body });
  const done = await written(cli, http, ordered);
  const { file } = done;
  if (done.state !== 'done' || file === null)
    throw new CliFailure(`The export ${oneLine(done.state)}${done.error === null ? '' : `: ${oneLine(done.error)}`}`);
  await download(cli, http, done.id, file, out);
  const facts = { id: done.id, file: out, bytes: file.bytes, sha256: file.sha256, leaves: done.leavesWritten };
  if (options.json) terminal.out(json(facts));
  else {
    const paint = painter(terminal);
    terminal.out(`${paint('green', '✓')} ${oneLine(out)}: ${counted(done.leavesWritten, 'leaf', 'leaves')}, ${byteSize(file.bytes)}\n`);
    terminal.out(
      paint('dim', `  sha256 ${oneLine(file.sha256)}\n  verify it: fabula audit verify ${oneLine(out)} --key "$(fabula keys show)"\n`),
    );
  }
  return EXIT.ok;
}

/** As `POST /audit/exports` takes it; undefined: all leaves. */
function filterOf({ playthrough, actor, story, correlation, after, before }: ExportCommand): object | undefined {
  const ids = [
    { name: 'playthroughId', value: playthrough },
    { name: 'actor', value: actor },
    { name: 'storyId', value: story },
    { name: 'correlationId', value: correlation },
  ].filter(({ value }) => value !== undefined);
  const timed = after !== undefined || before !== undefined;
  if (ids.length + Number(timed) > 1) throw wrongUsage('One of --playthrough, --actor, --story, --correlation, or a time: not several.');
  const [id] = ids;
  if (id !== undefined) return { [id.name]: id.value };
  return timed ? { ...(after === undefined ? {} : { from: after }), ...(before === undefined ? {} : { to: before }) } : undefined;
}

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

async function written(cli: Cli, http: HttpClient, ordered: ExportAnswer): Promise<ExportAnswer> {
  const bar = progress(cli, 'exporting', things('leaf', 'leaves'));
  try {
    for (let job = ordered; ; job = await http.get<ExportAnswer>(`/audit/exports/${encodeURIComponent(ordered.id)}`)) {
      bar.update(job.leavesWritten, job.leavesTotal);
      if (job.state !== 'queued' && job.state !== 'running') return job;
      await cli.sleep(POLL_MS);
    }
  } finally {
    bar.stop();
  }
}

/** Beside the target first, so that a broken download never looks like an export. */
async function download(cli: Cli, http: HttpClient, id: string, wanted: NonNullable<ExportAnswer['file']>, out: string): Promise<void> {
  const response = await http.response(`/audit/exports/${encodeURIComponent(id)}/download`);
  const part = `${out}.part`;
  const bar = progress(cli, 'downloading', BYTES);
  const digest = createHash('sha256');
  let bytes = 0;
  try {
    const handle = await open(part, 'w', 0o600).catch((error: unknown) => {
      throw wrongUsage(`${part} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
    });
    try {
      for await (const chunk of response.body ?? []) {
        digest.update(chunk);
        bytes += chunk.length;
        bar.update(bytes, wanted.bytes);
        await handle.writeFile(chunk);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (bytes !== wanted.bytes || digest.digest('hex') !== wanted.sha256)
      throw new CliFailure(`The download is not what the server wrote: ${bytes} of ${wanted.bytes} bytes came.`);
    await rename(part, out);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  } finally {
    bar.stop();
  }
}
