import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  formatAddCheckpoint,
  isKeyName,
  MalformedKey,
  MalformedNote,
  MalformedPolicy,
  openWitnessKey,
  parsePolicy,
  parseVerifierKey,
  UnverifiedNote,
  Witness,
  WitnessDirectory,
  WitnessKeyUnusable,
  WitnessServer,
  type AddCheckpoint,
  type WitnessedLog,
} from '#lib/audit';
import { DataDirectoryLocked, errorCode, lockDataDirectory } from '#lib/platform';
import type { Cli } from './cli.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import { oneLine, painter } from './layout.js';

export interface WitnessCommand {
  readonly dir: string;
  readonly listen: string;
  readonly name?: string;
  readonly log?: readonly string[];
  readonly policy?: string;
}

/** Evidence is kept as files, so many at most: a log that contradicts itself does so in every request. */
const MAX_CONTRADICTIONS = 100;

/** Runs a witness until it is told to stop. */
export async function witness(cli: Cli, options: WitnessCommand): Promise<number> {
  const { terminal } = cli;
  const paint = painter(terminal);
  const { host, port } = listening(options.listen);
  const logs = await logsOf(options);
  const name = options.name ?? `witness.local/${path.basename(path.resolve(options.dir))}`;
  if (!isKeyName(name)) throw wrongUsage(`"${oneLine(name)}" cannot name a witness: no spaces, no plus.`);
  const lock = await lockDataDirectory(options.dir).catch((error: unknown) => {
    if (error instanceof DataDirectoryLocked) throw wrongUsage(`${options.dir} is another witness's: process ${error.pid} uses it.`);
    throw error;
  });
  try {
    const clock = { now: cli.now };
    const cosigner = await openWitnessKey(path.join(options.dir, 'witness.key'), name);
    const state = await WitnessDirectory.open(
      path.join(options.dir, 'cosigned'),
      logs.map(({ origin }) => origin),
    );
    const say = (text: string): void => terminal.out(`${text}\n`);
    const onContradiction = ({ kept, request }: { readonly kept: string; readonly request: AddCheckpoint }): void => {
      say(paint('red', '✗ a log signed two histories: both notes are in contradictions/'));
      keepEvidence(path.join(options.dir, 'contradictions'), kept, request).catch((error: unknown) => {
        say(paint('red', `✗ the evidence could not be written: ${oneLine(String(error))}`));
      });
    };
    const served = new Witness({ cosigner, logs, state, clock, onContradiction });
    const server = await WitnessServer.listen({
      witness: served,
      vkey: cosigner.verifier.vkey,
      host,
      port,
      clock,
      onProblem: (problem) => say(paint('red', `✗ ${oneLine(problem)}`)),
    }).catch((error: unknown) => {
      const code = errorCode(error);
      if (code === 'EADDRINUSE' || code === 'EACCES' || code === 'EADDRNOTAVAIL')
        throw wrongUsage(`${options.listen} cannot be listened on: ${code}.`);
      throw error;
    });
    say(`${paint('green', '✓')} witness of ${logs.length} logs at ${server.url}`);
    say(`for the policy: witness ${path.basename(name)} ${cosigner.verifier.vkey} ${server.url}`);
    await told();
    await server.close();
    return EXIT.ok;
  } catch (error) {
    if (error instanceof WitnessKeyUnusable) throw wrongUsage(error.message);
    if (error instanceof MalformedNote || error instanceof UnverifiedNote)
      throw new CliFailure(`What this witness cosigned was changed: ${oneLine(error.message)}`, EXIT.problems, [
        'Restore its folder. A witness that forgot must not go on under this key: it could cosign a second history.',
      ]);
    throw error;
  } finally {
    await lock.release();
  }
}

function told(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}

function listening(text: string): { readonly host: string; readonly port: number } {
  const [, host, digits] = /^(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || !(port <= 65_535)) throw wrongUsage(`--listen is <address>:<port>, not "${oneLine(text)}".`);
  return { host: host.replace(/^\[|\]$/g, ''), port };
}

/** Keys by origin: a log whose key is being replaced has two. */
async function logsOf({ log = [], policy }: WitnessCommand): Promise<readonly WitnessedLog[]> {
  const logs = new Map<string, WitnessedLog>();
  const add = (origin: string, vkey: string): void => {
    const known = logs.get(origin)?.verifiers ?? [];
    if (known.every((one) => one.vkey !== vkey)) logs.set(origin, { origin, verifiers: [...known, parseVerifierKey(vkey)] });
  };
  for (const text of log) {
    const [vkey = '', origin, ...rest] = text.split(' ');
    if (rest.length > 0) throw wrongUsage('--log is a key, a space and an origin: "<vkey> <origin>".');
    try {
      add(origin ?? parseVerifierKey(vkey).name, vkey);
    } catch (error) {
      if (error instanceof MalformedKey) throw wrongUsage(`--log: ${error.message}`);
      throw error;
    }
  }
  if (policy !== undefined)
    try {
      for (const { verifier } of parsePolicy(await readFile(policy, 'utf8')).logs) add(verifier.name, verifier.vkey);
    } catch (error) {
      if (error instanceof MalformedPolicy) throw wrongUsage(`${policy}: ${error.message}`);
      if (errorCode(error) === 'ENOENT') throw wrongUsage(`${policy} is not there.`);
      throw error;
    }
  if (logs.size === 0) throw wrongUsage('Name a log: --log "<vkey> <origin>", or --policy with log lines.');
  for (const origin of logs.keys()) if (!isKeyName(origin)) throw wrongUsage(`"${oneLine(origin)}" is no origin.`);
  return [...logs.values()];
}

async function keepEvidence(directory: string, kept: string, request: AddCheckpoint): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if ((await readdir(directory)).length >= MAX_CONTRADICTIONS) return;
  const text = `cosigned before:\n${kept}\nrefused:\n${formatAddCheckpoint(request)}`;
  const file = `${createHash('sha256').update(request.note).digest('hex').slice(0, 32)}.txt`;
  await writeFile(path.join(directory, file), text, { flag: 'wx' }).catch((error: unknown) => {
    // The same contradiction again.
    if (errorCode(error) !== 'EEXIST') throw error;
  });
}
