import { open } from 'node:fs/promises';
import {
  checkInclusion,
  formatTlogProof,
  leafHash,
  leafIndex,
  openTrustedNote,
  parseBase64,
  treeSize,
  type CheckpointNote,
  type Hash,
  type LogName,
  type TrustedKey,
} from '#lib/audit';
import type { AuditLogs, InclusionAnswer } from './audit-types.js';
import type { Cli } from './cli.js';
import { connect, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import { grouped, json, oneLine, painter, table, wrapped } from './layout.js';
import { keyOf, trusted } from './trusted-keys.js';

export interface ProveCommand {
  readonly log: LogName;
  readonly index: bigint;
  readonly key?: string;
  /** File for the proof, C2SP tlog-proof; the leaf's bytes go beside it, with `.leaf`. */
  readonly out?: string;
  readonly json?: true;
}

const HASH_BYTES = 32;

/** Fetches leaf, proof and note, and believes none of them. */
export async function prove(cli: Cli, options: ProveCommand & ConnectionOptions): Promise<number> {
  const { terminal } = cli;
  const { log, index } = options;
  const http = await connect(cli, options);
  const { verifierKey, trust, logs }: AuditLogs = await http.get('/audit/logs');
  const keys = trusted(options.key === undefined ? (trust ?? verifierKey) : await keyOf(options.key));
  const vkey = keys[0]?.verifier.vkey ?? '';
  const noteText = await http.text(`/audit/logs/${log}/checkpoint`);
  const origin = logs.find((one) => one.log === log)?.origin;
  const note = opened(noteText, keys, origin);
  const answer: InclusionAnswer = await http.get(`/audit/logs/${log}/proof/inclusion`, { index: String(index), size: String(note.size) });
  const leaf = Buffer.from(answer.leaf, 'utf8');
  const hash = leafHash(leaf);
  const hashes = answer.hashes.map((text) => parseBase64(text, HASH_BYTES));
  const complete = hashes.every((one) => one !== undefined);
  const holds = complete && checkInclusion(hashes as Hash[], treeSize(note.size), note.root, leafIndex(index), hash);
  if (holds && options.out !== undefined) {
    await written(options.out, formatTlogProof({ index: leafIndex(index), hashes: hashes as Hash[], note: noteText }));
    await written(`${options.out}.leaf`, leaf);
  }
  if (options.json) {
    terminal.out(
      json({
        ok: holds,
        log,
        index: String(index),
        size: String(note.size),
        root: note.root.toString('base64'),
        leafHash: hash.toString('base64'),
        hashes: answer.hashes,
        note: noteText,
        vkey,
        leaf: JSON.parse(answer.leaf) as unknown,
      }),
    );
    return holds ? EXIT.ok : EXIT.problems;
  }
  const paint = painter(terminal);
  const step = (title: string, text: string): void => terminal.out(`${paint('bold', title)}\n  ${text}\n`);
  step(`1. Leaf ${grouped(index)} of ${log}`, wrapped(oneLine(answer.leaf), terminal.columns, '  '));
  step('2. Its hash, SHA-256(0x00 ‖ leaf)', hash.toString('hex'));
  step(
    `3. Joined with ${answer.hashes.length} hashes on the way to the root`,
    answer.hashes.map((text) => parseBase64(text)?.toString('hex') ?? `(not a hash) ${oneLine(text)}`).join('\n  ') ||
      '(none: it is the only leaf)',
  );
  step(`4. The root that note of ${grouped(note.size)} leaves names`, note.root.toString('hex'));
  step(`5. The note is signed by`, oneLine(vkey));
  if (options.key === undefined) terminal.out(paint('yellow', '  as the server says: give the key that you were handed with --key\n'));
  if (holds && options.out !== undefined)
    terminal.out(`  the proof is in ${oneLine(options.out)}, the leaf in ${oneLine(options.out)}.leaf\n`);
  terminal.out(
    holds ? `${paint('green', '✓')} the leaf is in the signed tree\n` : `${paint('red', '✗')} the proof does not lead to the signed root\n`,
  );
  return holds ? EXIT.ok : EXIT.problems;
}

/** Evidence is not overwritten. */
async function written(file: string, content: string | Uint8Array): Promise<void> {
  try {
    const handle = await open(file, 'wx');
    try {
      await handle.writeFile(content);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw wrongUsage(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function opened(text: string, keys: readonly TrustedKey[], origin: string | undefined): CheckpointNote {
  let note: CheckpointNote;
  try {
    note = openTrustedNote(text, keys);
  } catch (error) {
    throw new CliFailure(`The note is not signed by the key: ${error instanceof Error ? oneLine(error.message) : String(error)}`);
  }
  if (note.origin !== origin)
    throw new CliFailure(`The note is of ${oneLine(note.origin)}, not of ${oneLine(origin ?? 'a tree that the server lists')}.`);
  return note;
}

export async function checkpoint(
  cli: Cli,
  log: LogName | undefined,
  options: ConnectionOptions & { readonly json?: true },
): Promise<number> {
  const { terminal } = cli;
  const http = await connect(cli, options);
  if (log !== undefined) {
    const note = await http.text(`/audit/logs/${log}/checkpoint`);
    // The note's exact bytes: whoever keeps it must be able to verify its signature.
    if (options.json) terminal.out(json({ log, note }));
    else await terminal.pour(Buffer.from(note, 'utf8'));
    return EXIT.ok;
  }
  const answer: AuditLogs = await http.get('/audit/logs');
  if (options.json) terminal.out(json(answer));
  else {
    terminal.out(
      table(terminal, answer.logs, [
        { title: 'log', cell: (one) => one.log },
        { title: 'leaves', cell: ({ size }) => Number(size) },
        { title: 'signed', cell: ({ signedSize }) => Number(signedSize) },
        { title: 'at', cell: ({ signedAt }) => (signedAt === null ? 'not yet' : signedAt.replace('T', ' ').replace(/\.\d+Z$/, 'Z')) },
        { title: 'origin', cell: ({ origin }) => origin, flexible: true },
      ]),
    );
  }
  return EXIT.ok;
}
