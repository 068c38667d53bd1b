import type { LogId } from '#lib/log';
import type { AuditStore } from '../audit-store.js';
import { parseVerifierKey } from '../tlog/index.js';
import type { KeptKey } from './kept-keys.js';

/** A key cannot follow the current one. */
export class KeyRefused extends Error {
  override readonly name = 'KeyRefused';
}

/**
 * From now on that key signs. In one transaction with the root tree's head locked, under which every note is kept: no note of a larger size
 * can be signed by the old key alone. Done again it changes nothing and answers the same.
 * @throws KeyRefused for a key of another name, or one that was replaced before
 */
export async function announceKey(options: {
  readonly store: AuditStore;
  readonly logId: LogId;
  readonly vkey: string;
  readonly now: number;
}): Promise<KeptKey> {
  const { store, logId, vkey, now } = options;
  const { name } = parseVerifierKey(vkey);
  await store.open('root', logId);
  return store.transact('root', async (transaction) => {
    const kept = await transaction.signingKeys();
    const current = kept.at(-1);
    if (current === undefined) throw new KeyRefused('nothing was signed yet: there is no key to replace');
    if (current.vkey === vkey) return current;
    if (kept.some((one) => one.vkey === vkey)) throw new KeyRefused('this key was replaced before: make a new one');
    if (parseVerifierKey(current.vkey).name !== name)
      throw new KeyRefused(`the key must bear the name ${parseVerifierKey(current.vkey).name}`);
    const since: Record<string, string> = {};
    // All of them, since none is kept without this lock; also of trees that are just being rebuilt and have no head.
    for (const { log, size } of await store.latestNotes(logId)) since[log] = String(size);
    const next: KeptKey = { vkey, since, until: null, announcedAt: now };
    await transaction.announceKey(next);
    return next;
  });
}
