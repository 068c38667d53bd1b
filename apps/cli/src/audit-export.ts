import { createHash } from 'node:crypto';
import { access, open, rename, rm, type FileHandle } from 'node:fs/promises';
import type { ExportAnswer } from './audit-types.js';
import type { Cli } from './cli.js';
import { connect, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import { ServerRefused, type HttpClient } from './http-client.js';
import { byteSize, counted, json, oneLine, painter } from './layout.js';
import { progress, BYTES, things } from './progress.js';

export interface ExportCommand {
  /** Needed but for `cancel`. */
  readonly out?: string;
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
  /** Id of an export that was ordered already. */
  readonly resume?: string;
  /** Id of an export that is wanted no more. */
  readonly cancel?: string;
  readonly bodies?: true;
  readonly json?: true;
}

const POLL_MS = 250;
const jobPath = (id: string): string => `/audit/exports/${encodeURIComponent(id)}`;
type ExportFile = NonNullable<ExportAnswer['file']>;

export async function exportBundle(cli: Cli, options: ExportCommand & ConnectionOptions): Promise<number> {
  const { terminal } = cli;
  const { out, partition, from, to } = options;
  if (options.cancel !== undefined) return cancelExport(cli, options.cancel, options);
  if (out === undefined) throw wrongUsage('--out says where to write it.');
  if (partition === undefined && (from !== undefined || to !== undefined)) throw wrongUsage('--from and --to go with --partition.');
  if (from !== undefined && to !== undefined && to < from) throw wrongUsage('--to comes before --from.');
  if (await exists(out)) throw wrongUsage(`${out} is there already: evidence is not overwritten.`);
  const wishes = [partition, filterOf(options), options.since, options.bodies];
  if (options.resume !== undefined && wishes.some((wish) => wish !== undefined))
    throw wrongUsage('--resume goes on with what was ordered: it stands alone beside --out.');
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
  const ordered =
    options.resume === undefined
      ? (await http.post<ExportAnswer>('/audit/exports', { body })).value
      : await http.get<ExportAnswer>(jobPath(options.resume));
  const done = await written(cli, http, ordered);
  const { file } = done;
  if (done.state !== 'done' || file === null)
    throw new CliFailure(`The export ${oneLine(done.state)}${done.error === null ? '' : `: ${oneLine(done.error)}`}`);
  await download(cli, http, done, file, { ...options, out });
  const facts = { id: done.id, file: out, bytes: file.bytes, sha256: file.sha256, leaves: done.leavesWritten };
  if (options.json) terminal.out(json(facts));
  else {
    const paint = painter(terminal);
    terminal.out(`${paint('green', '✓')} ${oneLine(out)}: ${counted(done.leavesWritten, 'leaf', 'leaves')}, ${byteSize(file.bytes)}\n`);
    terminal.out(
      paint(
        'dim',
        `  sha256 ${oneLine(file.sha256)}\n  verify it: fabula audit verify ${oneLine(out)} --key "$(fabula keys show)"${partition === undefined ? '' : ' --partial'}\n`,
      ),
    );
  }
  return EXIT.ok;
}

async function cancelExport(cli: Cli, id: string, options: ExportCommand & ConnectionOptions): Promise<number> {
  const others = [options.out, options.partition, filterOf(options), options.since, options.resume, options.bodies];
  if (others.some((given) => given !== undefined)) throw wrongUsage('--cancel stands alone.');
  const http = await connect(cli, options);
  const job = (await (await http.response(jobPath(id), { method: 'DELETE' })).json()) as ExportAnswer;
  if (options.json) cli.terminal.out(json({ id: job.id, state: job.state }));
  else {
    const became = job.state === 'done' ? 'its file was removed from the server' : oneLine(job.state);
    cli.terminal.out(`${painter(cli.terminal)('green', '✓')} The export ${oneLine(job.id)}: ${became}\n`);
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
    for (let job = ordered; ; job = await http.get<ExportAnswer>(jobPath(ordered.id))) {
      bar.update(job.leavesWritten, job.leavesTotal);
      if (job.state !== 'queued' && job.state !== 'running') return job;
      await cli.sleep(POLL_MS);
    }
  } finally {
    bar.stop();
  }
}

/** So many times in a row a download may break without a byte. */
const TRIES = 5;
const LONGEST_WAIT_MS = 10_000;

/** Beside the target first, so that a broken download never looks like an export. One that breaks goes on where it stood, now or with --resume. */
async function download(
  cli: Cli,
  http: HttpClient,
  job: ExportAnswer,
  wanted: ExportFile,
  options: Pick<ExportCommand, 'resume'> & { readonly out: string },
): Promise<void> {
  const { out } = options;
  const part = `${out}.part`;
  const bar = progress(cli, 'downloading', BYTES);
  const handle = await open(part, 'a+', 0o600).catch((error: unknown) => {
    throw wrongUsage(`${part} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  });
  try {
    const taken = new Taken(handle, wanted.bytes);
    if (options.resume === undefined) await taken.anew();
    else await taken.readAgain();
    for (let tries = 1; taken.bytes < wanted.bytes; tries++) {
      const before = taken.bytes;
      const broken = await further(http, job.id, wanted, taken, () => bar.update(taken.bytes, wanted.bytes));
      if (taken.bytes >= wanted.bytes) break;
      if (taken.bytes > before) tries = 1;
      if (tries === TRIES)
        throw new CliFailure(
          `The download broke off after ${byteSize(taken.bytes)} of ${byteSize(wanted.bytes)}: ${oneLine(broken)}`,
          EXIT.unreachable,
          [`Go on with: fabula audit export --resume ${oneLine(job.id)} --out ${oneLine(out)}`],
        );
      await cli.sleep(Math.min(LONGEST_WAIT_MS, 500 * 2 ** tries));
    }
    await handle.sync();
    if (taken.bytes !== wanted.bytes || taken.sha256() !== wanted.sha256) {
      await rm(part, { force: true });
      throw new CliFailure(`The download is not what the server wrote: ${taken.bytes} of ${wanted.bytes} bytes came. It was removed.`);
    }
  } finally {
    await handle.close();
    bar.stop();
  }
  await rename(part, out);
}

/** Why it broke off, in words. @throws ServerRefused when the server will not have it */
async function further(http: HttpClient, id: string, wanted: ExportFile, taken: Taken, moved: () => void): Promise<string> {
  try {
    const headers: Record<string, string> = taken.bytes === 0 ? {} : { range: `bytes=${taken.bytes}-`, 'if-range': `"${wanted.sha256}"` };
    const response = await http.response(`${jobPath(id)}/download`, { headers });
    // Something between may not know ranges.
    if (response.status !== 206) await taken.anew();
    else if (response.headers.get('content-range')?.startsWith(`bytes ${taken.bytes}-`) !== true)
      throw new CliFailure('The server goes on at another place than it was asked for.');
    for await (const chunk of response.body ?? []) {
      await taken.add(chunk);
      moved();
      if (taken.bytes > wanted.bytes) break;
    }
    return 'the answer ended early';
  } catch (error) {
    const passing =
      error instanceof ServerRefused ? error.status >= 500 : error instanceof CliFailure && error.exitCode === EXIT.unreachable;
    if (error instanceof CliFailure && !passing) throw error;
    return error instanceof Error ? error.message : String(error);
  }
}

/** What there is of a download, and its digest. */
class Taken {
  bytes = 0;
  private digest = createHash('sha256');

  constructor(
    private readonly handle: FileHandle,
    private readonly most: number,
  ) {}

  async anew(): Promise<void> {
    await this.handle.truncate(0);
    this.bytes = 0;
    this.digest = createHash('sha256');
  }
  /** What an earlier run left. */
  async readAgain(): Promise<void> {
    if ((await this.handle.stat()).size > this.most) return this.anew();
    for await (const chunk of this.handle.createReadStream({ start: 0, autoClose: false })) {
      this.digest.update(chunk as Buffer);
      this.bytes += (chunk as Buffer).length;
    }
  }
  async add(chunk: Uint8Array): Promise<void> {
    await this.handle.writeFile(chunk);
    this.digest.update(chunk);
    this.bytes += chunk.length;
  }
  sha256(): string {
    return this.digest.copy().digest('hex');
  }
}
