import { cosignedAt, parseNote, type CheckpointNote, type NoteSignature } from '../tlog/index.js';
import { quorumReached, type Policy } from '../witness/policy.js';
import { ROOT_COSIGNED, TIMESTAMP_NOTE, TIMESTAMP_TOKEN, type ConsistencyWith, type TimestampAbout } from './bundle-format.js';
import type { BundleNotes } from './bundle-notes.js';
import { extendsNote } from './compare-previous.js';
import { MalformedDer } from './der.js';
import type { Findings, Place } from './findings.js';
import { readHash } from './read-json.js';
import { problemOf, readTimestampToken, type TimestampToken } from './timestamp-token.js';

/** What an authority says about when the root tree was as it is. */
export interface TimestampReport {
  /** Where it was asked for, as the bundle says. */
  readonly authority: string;
  /** When the authority says, ms. */
  readonly stampedAt: number;
  /** Size of the root tree that was stamped; the bundle's own continues it. */
  readonly size: string;
  /** Subject of the certificate that the token carries; who that is, its chain says, which is not checked. */
  readonly signer: string | null;
  readonly signature: TimestampToken['signature'];
}

export interface CosignatureReport {
  /** Of the key. */
  readonly name: string;
  /** Hex. */
  readonly keyId: string;
  /** Of the root tree that it cosigned. */
  readonly size: string;
  /** When the witness says that it did, ms; null for a signature of another kind. */
  readonly cosignedAt: number | null;
  /** `not-trusted`: the policy does not name that key, or none was given. */
  readonly state: 'verified' | 'wrong' | 'not-trusted';
}

export interface WitnessReport {
  /** By the policy that was given: `unchecked` without one, `none` when it asks for no witness. */
  readonly quorum: 'reached' | 'missing' | 'none' | 'unchecked';
  /** Size of the root tree that has the quorum; null without. */
  readonly size: string | null;
  readonly cosignatures: readonly CosignatureReport[];
}

/** Of the times that a date can say. */
const LAST_SECOND = 8_640_000_000_000;

interface Common {
  readonly findings: Findings;
  readonly notes: BundleNotes;
  /** Undefined when it was not signed, which has been said. */
  readonly rootNote: CheckpointNote | undefined;
}

/** An earlier note of the root tree that others vouch for: signed by the log, and continued by the bundle's own. */
function earlierNote({ findings, notes, rootNote }: Common, { note, hashes }: ConsistencyWith, where: Place): CheckpointNote | undefined {
  const earlier = notes.open(note, 'root', where);
  if (earlier === undefined || rootNote === undefined) return undefined;
  if (earlier.size <= rootNote.size && extendsNote(rootNote, earlier, hashes.map(readHash))) return earlier;
  findings.add(
    'FORK',
    `two signed histories of root: size ${earlier.size} root ${earlier.root.toString('base64')} and size ${rootNote.size} root ${rootNote.root.toString('base64')} do not continue each other`,
    where,
  );
  return undefined;
}

/** The token is about that very note, and the note is one that the bundle's root tree continues. Undefined: it cannot be read, which was said. */
export function checkTimestamp(
  common: Common,
  given: { readonly about: TimestampAbout; readonly note: Buffer; readonly token: Buffer },
): TimestampReport | undefined {
  const { findings } = common;
  const at = { file: TIMESTAMP_TOKEN, tree: 'root' };
  const stamped = earlierNote(
    common,
    { note: given.note.toString('utf8'), hashes: given.about.hashes },
    { file: TIMESTAMP_NOTE, tree: 'root' },
  );
  let token: TimestampToken;
  try {
    token = readTimestampToken(given.token);
  } catch (error) {
    if (!(error instanceof MalformedDer)) throw error;
    findings.add('TIMESTAMP', `${TIMESTAMP_TOKEN} is no timestamp: ${error.message}`, at);
    return undefined;
  }
  const { signature, stampedAt, signer } = token;
  const problem = problemOf(token, given.note);
  if (problem !== null) findings.add('TIMESTAMP', `the timestamp is not good for ${TIMESTAMP_NOTE}: ${problem}`, at);
  return { authority: given.about.authority, stampedAt, size: String(stamped?.size ?? ''), signer, signature };
}

/**
 * Cosignatures of the root tree against the policy of whoever reads the bundle. Where the newest note has no quorum yet, the bundle carries the
 * newest one that has: that counts, being continued by the other.
 */
export function checkWitnesses(
  common: Common,
  given: { readonly root: Buffer; readonly carried: ConsistencyWith | null },
  policy: Policy | undefined,
): WitnessReport {
  const { findings, rootNote } = common;
  const earlier = given.carried === null ? undefined : earlierNote(common, given.carried, { file: ROOT_COSIGNED, tree: 'root' });
  const cosignatures: CosignatureReport[] = [];
  let reached: string | null = null;
  for (const [note, text, file] of [
    [rootNote, given.root.toString('utf8'), 'data/root-checkpoint'],
    [earlier, given.carried?.note ?? '', ROOT_COSIGNED],
  ] as const) {
    if (note === undefined) continue;
    const found = cosignaturesOf(common, text, String(note.size), policy, file);
    cosignatures.push(...found.cosignatures);
    if (policy !== undefined && reached === null && quorumReached(policy, found.witnesses)) reached = String(note.size);
  }
  if (policy === undefined) return { quorum: 'unchecked', size: null, cosignatures };
  if (policy.quorum === 'none') return { quorum: 'none', size: null, cosignatures };
  if (reached === null && rootNote !== undefined)
    findings.add(
      'WITNESS',
      `the root tree's note does not have the cosignatures that the quorum "${policy.quorum}" of your policy asks for`,
      {
        file: 'data/root-checkpoint',
        tree: 'root',
      },
    );
  return { quorum: reached === null ? 'missing' : 'reached', size: reached, cosignatures };
}

function cosignaturesOf(
  { findings, notes }: Common,
  text: string,
  size: string,
  policy: Policy | undefined,
  file: string,
): { readonly cosignatures: readonly CosignatureReport[]; readonly witnesses: ReadonlySet<string> } {
  const note = parseNote(text);
  const same = (one: NoteSignature) => (other: { readonly name: string; readonly keyId: number }) =>
    one.name === other.name && one.keyId === other.keyId;
  const bytes = Buffer.from(note.text, 'utf8');
  const witnesses = new Set<string>();
  const others = note.signatures.filter((one) => !notes.keys.some(({ verifier }) => same(one)(verifier)));
  const cosignatures = others.map((one): CosignatureReport => {
    const witness = policy?.witnesses.find(({ verifier }) => same(one)(verifier));
    const right = witness?.verifier.verify(bytes, one.signature);
    if (right === true) witnesses.add(witness?.name ?? '');
    if (right === false)
      findings.add('WITNESS', `the cosignature of ${one.name} on the root tree's note of size ${size} is wrong`, { file, tree: 'root' });
    const seconds = cosignedAt(one.signature);
    return {
      name: one.name,
      keyId: one.keyId.toString(16).padStart(8, '0'),
      size,
      cosignedAt: seconds === undefined || seconds > LAST_SECOND ? null : seconds * 1_000,
      state: right === undefined ? 'not-trusted' : right ? 'verified' : 'wrong',
    };
  });
  return { cosignatures, witnesses };
}
