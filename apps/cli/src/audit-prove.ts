import {
  checkInclusion,
  leafHash,
  leafIndex,
  MalformedKey,
  openCheckpointNote,
  parseBase64,
  parseVerifierKey,
  treeSize,
  type CheckpointNote,
  type Hash,
  type LogName,
  type NoteVerifier,
} from '#lib/audit';
import type { AuditLogs, InclusionAnswer } from './audit-types.js';
import type { Cli } from './cli.js';
import { connect, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import { grouped, json, oneLine, painter, table, wrapped } from './layout.js';

export interface ProveCommand {
  readonly log: LogName;
  readonly index: bigint;
  readonly key?: string;
  readonly json?: true;
}

const HASH_BYTES = 32;

/** Fetches leaf, proof and note, and believes none of them. */
export async function prove(cli: Cli, options: ProveCommand & ConnectionOptions): Promise<number> {
  const { terminal } = cli;
  const { log, index } = options;
  const http = await connect(cli, options);
  const { verifierKey, logs }: AuditLogs = await http.get('/audit/logs');
  const verifier = verifierOf(options.key ?? verifierKey);
  const noteText = await http.text(`/audit/logs/${log}/checkpoint`);
  const origin = logs.find((one) => one.log === log)?.origin;
  const note = opened(noteText, verifier, origin);
  const answer: InclusionAnswer = await http.get(`/audit/logs/${log}/proof/inclusion`, { index: String(index), size: String(note.size) });
  const leaf = Buffer.from(answer.leaf, 'utf8');
  const hash = leafHash(leaf);
  const hashes = answer.hashes.map((text) => parseBase64(text, HASH_BYTES));
  const complete = hashes.every((one) => one !== undefined);
  const holds = complete && checkInclusion(hashes as Hash[], treeSize(note.size), note.root, leafIndex(index), hash);
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
        vkey: verifier.vkey,
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
  step(`5. The note is signed by`, oneLine(verifier.vkey));
  if (options.key === undefined) terminal.out(paint('yellow', '  as the server says: give the key that you were handed with --key\n'));
  terminal.out(
    holds ? `${paint('green', '✓')} the leaf is in the signed tree\n` : `${paint('red', '✗')} the proof does not lead to the signed root\n`,
  );
  return holds ? EXIT.ok : EXIT.problems;
}

function verifierOf(vkey: string): NoteVerifier {
  try {
    return parseVerifierKey(vkey.trim());
  } catch (error) {
    if (error instanceof MalformedKey) throw wrongUsage(`The key cannot be used: ${error.message}`);
    throw error;
  }
}

function opened(text: string, verifier: NoteVerifier, origin: string | undefined): CheckpointNote {
  let note: CheckpointNote;
  try {
    note = openCheckpointNote(text, [verifier]);
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
