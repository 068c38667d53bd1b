import type { Clock } from '#lib/platform';
import { AuditStopped, type AuditTransaction } from '../audit-store.js';
import type { NoteSigner, NoteVerifier, TrustedKey } from '../tlog/index.js';
import { trustOf, type KeptKey } from './kept-keys.js';

/** What a process holds of its audit's keys. */
export interface SigningKeys {
  readonly signers: readonly NoteSigner[];
  /** Keys that signed before, whose private halves are gone. */
  readonly former: readonly NoteVerifier[];
}

/** So long after a new key was announced the one before it signs too: whoever has not heard of the new one verifies on. */
export const DEFAULT_OVERLAP_MS = 7 * 86_400_000;

/** Which keys a notary signs with and believes: those that the store names, and of them only those that this process was given. */
export class NotaryKeys {
  readonly name: string;

  constructor(
    private keys: SigningKeys,
    private readonly clock: Clock,
    private readonly reload: (() => Promise<SigningKeys>) | undefined,
    private readonly overlapMs = DEFAULT_OVERLAP_MS,
  ) {
    const names = new Set(keys.signers.map(({ name }) => name));
    const [name] = names;
    if (name === undefined || names.size !== 1) throw new RangeError('the keys of one audit bear one name');
    this.name = name;
  }

  /** What verifies notes; before anything was signed, this process's own key. A key that it was never given is not believed. */
  async trusted(kept: readonly KeptKey[]): Promise<readonly TrustedKey[]> {
    const own = (): ReadonlySet<string> =>
      new Set([...this.keys.signers.map(({ verifier }) => verifier.vkey), ...this.keys.former.map(({ vkey }) => vkey)]);
    if (this.reload !== undefined && kept.some(({ vkey }) => !own().has(vkey))) this.keys = await this.reload();
    if (kept.length === 0) return this.keys.signers.map(({ verifier }) => ({ verifier }));
    const given = own();
    return trustOf(kept.filter(({ vkey }) => given.has(vkey)));
  }

  /**
   * What signs now, the current key first. Asked while the root tree is locked, so that no other process replaces the key meanwhile.
   * @throws AuditStopped KEY_MISSING when this process does not have the current key
   */
  async signing(transaction: AuditTransaction): Promise<readonly NoteSigner[]> {
    let kept = await transaction.signingKeys();
    if (kept.length === 0) {
      const [first] = this.keys.signers as [NoteSigner];
      kept = [{ vkey: first.verifier.vkey, since: {}, until: null, announcedAt: this.clock.now() }];
      await transaction.announceKey(kept[0] as KeptKey);
    }
    const current = kept.at(-1) as KeptKey;
    let signer = this.signer(current.vkey);
    if (signer === undefined && this.reload !== undefined) {
      this.keys = await this.reload();
      signer = this.signer(current.vkey);
    }
    if (signer === undefined) {
      const since = new Date(current.announcedAt).toISOString();
      throw new AuditStopped(
        'KEY_MISSING',
        'root',
        `since ${since} the notes are signed by ${current.vkey}, which this process does not have`,
        'copy the signing key from the node where it was made',
      );
    }
    return signersAt(this.keys, kept, this.clock.now(), this.overlapMs);
  }

  private signer(vkey: string): NoteSigner | undefined {
    return this.keys.signers.find(({ verifier }) => verifier.vkey === vkey);
  }
}

/** The keys that sign at that time, the current one first, as far as they are at hand. Before anything was signed: the first one at hand. */
export function signersAt(keys: SigningKeys, kept: readonly KeptKey[], now: number, overlapMs = DEFAULT_OVERLAP_MS): readonly NoteSigner[] {
  const current = kept.at(-1);
  if (current === undefined) return keys.signers.slice(0, 1);
  const wanted = [current, now - current.announcedAt < overlapMs ? kept.at(-2) : undefined].map((key) => key?.vkey);
  const signers = wanted.map((vkey) => keys.signers.find(({ verifier }) => verifier.vkey === vkey));
  return signers[0] === undefined ? [] : signers.filter((signer) => signer !== undefined);
}
