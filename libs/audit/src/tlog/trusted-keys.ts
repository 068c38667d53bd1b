import { openNote, parseVerifierKey, UnverifiedNote, type NoteVerifier } from './note.js';
import { parseCheckpointNote, type CheckpointNote } from './checkpoint-note.js';
import { parseDecimal } from './strict.js';

/*
 * Which keys may have signed a log's notes. One key a line, the newest first:
 *   log <vkey>
 *   log-until <vkey> p0=1204 p1=977 root=2310
 * A key with limits was replaced: alone it counts only for notes of those trees up to those sizes, since whoever has it may go on signing.
 * A date would not do: whoever signs chooses the time. Lines that begin with # and empty lines say nothing. Without `log-until` lines it is a
 * C2SP tlog-policy, whose words about witnesses are for whoever checks those.
 */

export interface TrustedKey {
  readonly verifier: NoteVerifier;
  /** Largest size per tree that it vouches for; trees that are not named: none. Absent: any size. */
  readonly until?: ReadonlyMap<string, bigint>;
}

export const MAX_TRUST_BYTES = 1_000_000;
const OTHERS = /^(?:witness|group|quorum) /;
const LIMIT = /^(root|access|p(?:0|[1-9][0-9]{0,3}))=(0|[1-9][0-9]{0,18})$/;

export class MalformedTrust extends Error {
  override readonly name = 'MalformedTrust';
}

/** Reads a policy, or a single verifier key. @throws MalformedTrust, MalformedKey */
export function parseTrust(text: string): readonly TrustedKey[] {
  if (text.length > MAX_TRUST_BYTES) throw new MalformedTrust(`a trust policy has at most ${MAX_TRUST_BYTES} bytes`);
  if (!/[\n ]/.test(text)) return [{ verifier: parseVerifierKey(text) }];
  const keys: TrustedKey[] = [];
  text.split('\n').forEach((line, at) => {
    if (line === '' || line.startsWith('#') || OTHERS.test(line)) return;
    const [word, vkey = '', ...limits] = line.split(' ');
    // C2SP lets the address of the log follow.
    if ((word !== 'log' || limits.length > 1 || limits[0]?.includes('://') === false) && word !== 'log-until')
      throw new MalformedTrust(`line ${at + 1} is neither "log <vkey> [<url>]" nor "log-until <vkey> <tree>=<size> …"`);
    const verifier = parseVerifierKey(vkey);
    if (keys.some((known) => known.verifier.vkey === vkey)) throw new MalformedTrust(`line ${at + 1} names a key twice`);
    if (keys.some((known) => known.verifier.name !== verifier.name)) throw new MalformedTrust(`line ${at + 1} names a key of another log`);
    keys.push(word === 'log' ? { verifier } : { verifier, until: parseLimits(limits, at) });
  });
  if (keys.length === 0) throw new MalformedTrust('the trust policy names no key');
  return keys;
}

function parseLimits(limits: readonly string[], at: number): ReadonlyMap<string, bigint> {
  const until = new Map<string, bigint>();
  for (const limit of limits) {
    const match = LIMIT.exec(limit);
    const size = parseDecimal(match?.[2] ?? '');
    const tree = match?.[1];
    if (tree === undefined || size === undefined || until.has(tree))
      throw new MalformedTrust(`line ${at + 1} has a limit that is not <tree>=<size>`);
    until.set(tree, size);
  }
  return until;
}

/** The inverse of `parseTrust` for policies. */
export function formatTrust(keys: readonly TrustedKey[]): string {
  return keys
    .map(({ verifier, until }) =>
      until === undefined
        ? `log ${verifier.vkey}\n`
        : `log-until ${[verifier.vkey, ...[...until].map(([tree, size]) => `${tree}=${size}`)].join(' ')}\n`,
    )
    .join('');
}

/** Whether that key alone vouches for a tree of that size. */
export function vouches({ until }: TrustedKey, tree: string, size: bigint): boolean {
  return until === undefined || size <= (until.get(tree) ?? -1n);
}

/**
 * The checkpoint note, when a key signed it that counts for its tree and size. A replaced key's signature beside a current one's is fine.
 * @throws MalformedNote, UnverifiedNote
 */
export function openTrustedNote(bytes: string | Uint8Array, keys: readonly TrustedKey[]): CheckpointNote {
  const { text, verified } = openNote(
    bytes,
    keys.map(({ verifier }) => verifier),
  );
  const note = parseCheckpointNote(text);
  const tree = treeOfOrigin(note.origin);
  const signers = keys.filter(({ verifier }) => verified.some(({ name, keyId }) => name === verifier.name && keyId === verifier.keyId));
  if (!signers.some((key) => vouches(key, tree, note.size)))
    throw new UnverifiedNote(
      `it is signed only by a key that was replaced: that one counts for ${tree} up to ${limitOf(signers, tree)}, not for ${note.size}`,
    );
  return note;
}

/** What an origin `<name>/<log id>/<tree>` names last. */
export function treeOfOrigin(origin: string): string {
  return origin.slice(origin.lastIndexOf('/') + 1);
}

function limitOf(keys: readonly TrustedKey[], tree: string): bigint {
  return keys.reduce((most, { until }) => ((until?.get(tree) ?? 0n) > most ? (until?.get(tree) as bigint) : most), 0n);
}
