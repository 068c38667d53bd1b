import type { Pool } from 'pg';
import {
  agreeOnKey,
  announceKey,
  DEFAULT_OVERLAP_MS,
  formatTrust,
  keptVerifierKey,
  MalformedKey,
  openSigningKeys,
  parseVerifierKey,
  settleSigningKeys,
  signersAt,
  trustOf,
  type AuditStore,
  type KeptKey,
  type NoteSigner,
  type SigningKeys,
} from '#lib/audit';
import type { LogId } from '#lib/log';
import { FabulaError, systemClock } from '#lib/platform';
import type { ActionWork } from '../compliance/action-work.js';

interface AuditKeysOptions {
  readonly pool: Pool;
  readonly store: AuditStore;
  readonly logId: LogId;
  readonly file: string;
  /** The configured name of the audit. */
  readonly name: string;
  /** A process that signs must have the current key from the start. */
  readonly signs: boolean;
}

/** The keys of one process and those that the store says are current: which sign, which verify, and how one follows another. */
export class AuditKeys {
  private constructor(
    private readonly options: AuditKeysOptions,
    /** As they lay there when the process started. */
    readonly atStart: SigningKeys,
  ) {}

  /** @throws AuditKeyDiffers when this process is to sign and lacks the current key; SigningKeyUnusable */
  static async open(options: AuditKeysOptions): Promise<AuditKeys> {
    const { pool, store, logId, file, name, signs } = options;
    const found = await openSigningKeys(file, name);
    const [first] = found.signers as readonly [NoteSigner, ...NoteSigner[]];
    const current = await keptVerifierKey(pool, logId);
    const known = found.signers.find(({ verifier }) => verifier.vkey === current) ?? first;
    if (signs) await agreeOnKey(pool, logId, known.verifier.vkey, file);
    const keys = await settleSigningKeys(file, name, await store.signingKeys(logId), systemClock.now());
    return new AuditKeys(options, keys);
  }

  /** The keys as they lie there now; what the store says of them is done first: a new one moves up, the private half of an old one goes. */
  async reload(): Promise<SigningKeys> {
    const { store, logId, file, name } = this.options;
    return settleSigningKeys(file, name, await store.signingKeys(logId), systemClock.now());
  }

  kept(): Promise<readonly KeptKey[]> {
    return this.options.store.signingKeys(this.options.logId);
  }

  /** `name+id+key` of the key that signs now. A process that signs nothing may lack it: what it verifies, it verifies with the signers'. */
  async verifierKey(): Promise<string> {
    return (await this.kept()).at(-1)?.vkey ?? (this.atStart.signers[0] as NoteSigner).verifier.vkey;
  }

  /** What verifies all notes: one key, or a policy once one was replaced. */
  async trust(): Promise<string> {
    const kept = await this.kept();
    return kept.length > 1 ? formatTrust(trustOf(kept)) : this.verifierKey();
  }

  /**
   * What signs a bundle.
   * @throws FabulaError CONFLICT when this process lacks the current key: nobody could verify what it signs
   */
  async signing(): Promise<readonly NoteSigner[]> {
    const signers = signersAt(await this.reload(), await this.kept(), systemClock.now());
    if (signers.length > 0) return signers;
    throw new FabulaError(
      'CONFLICT',
      "this process has another signing key than those that sign notes: order the export at one of those, or copy `audit-signing.key` from the first node's data directory",
    );
  }

  /** Two people had it replaced: the key lies beside the current one in every data directory of a process that signs. */
  rotateWork(): ActionWork<'rotate-signing-key'> {
    const { store, logId } = this.options;
    return {
      kind: 'rotate-signing-key',
      blockedBy: async ({ newVkey }) => this.refusal(newVkey),
      carryOut: async ({ newVkey }) => {
        const key = await announceKey({ store, logId, vkey: newVkey, now: systemClock.now() });
        await this.reload();
        return {
          newVkey,
          announcedAt: new Date(key.announcedAt).toISOString(),
          bothSignUntil: new Date(key.announcedAt + DEFAULT_OVERLAP_MS).toISOString(),
          oldKeyValidUpTo: { ...key.since },
        };
      },
    };
  }

  /** Why that key cannot follow now, in words; null when it can. */
  private async refusal(vkey: string): Promise<string | null> {
    try {
      const { name } = parseVerifierKey(vkey);
      if (name !== this.options.name) return `the key bears the name ${name}, the audit ${this.options.name}`;
    } catch (error) {
      if (error instanceof MalformedKey) return error.message;
      throw error;
    }
    // Where signing is another process's work, only people can see to it that it has the key.
    if (!this.options.signs) return null;
    const { signers } = await openSigningKeys(this.options.file, this.options.name);
    return signers.some(({ verifier }) => verifier.vkey === vkey)
      ? null
      : 'the process that carries it out does not have that key: copy `audit-signing.next.key` into the data directory of every process that signs';
  }
}
