import { randomBytes } from 'node:crypto';
import { KekMissing, WrapBroken, type KeyEncryption } from '../key-encryption.js';

/** What every `KeyEncryption` must do, a KMS's adapter too. `open` answers the same keys each time. */
export function describeKeyEncryption(name: string, open: () => KeyEncryption): void {
  describe(`${name} as a place of key-encryption keys`, () => {
    it('unwraps what it wrapped, and never wraps twice the same', async () => {
      const id = await open().create();
      const key = randomBytes(32);
      const [first, second] = await Promise.all([open().wrap(id, key, 'a'), open().wrap(id, key, 'a')]);
      expect(first.equals(second)).toBe(false);
      expect(first.includes(key)).toBe(false);
      expect(await open().unwrap(id, first, 'a')).toEqual(key);
      expect(await open().unwrap(id, second, 'a')).toEqual(key);
    });

    it('keeps a key that is made again under its name, also when many make it at once', async () => {
      const id = 'a-named-key';
      await Promise.all(Array.from({ length: 8 }, () => open().create(id)));
      const key = randomBytes(32);
      const wrapped = await open().wrap(id, key, 'a');
      expect(await open().create(id)).toBe(id);
      expect(await open().unwrap(id, wrapped, 'a')).toEqual(key);
      expect(await open().ids()).toContain(id);
    });

    it('refuses a key for another context, under another name, changed or cut off', async () => {
      const [id, other] = [await open().create(), await open().create()];
      const wrapped = await open().wrap(id, randomBytes(32), 'subject a');
      await expect(open().unwrap(id, wrapped, 'subject b')).rejects.toThrow(WrapBroken);
      await expect(open().unwrap(other, wrapped, 'subject a')).rejects.toThrow(WrapBroken);
      for (const at of [0, 20, wrapped.length - 1]) {
        const changed = Buffer.from(wrapped);
        changed[at] = (changed[at] ?? 0) ^ 1;
        await expect(open().unwrap(id, changed, 'subject a')).rejects.toThrow(WrapBroken);
      }
      await expect(open().unwrap(id, wrapped.subarray(0, 20), 'subject a')).rejects.toThrow(WrapBroken);
    });

    it('can do nothing with a key that is not there, or was destroyed', async () => {
      await expect(open().wrap('never-made', randomBytes(32), 'a')).rejects.toThrow(KekMissing);
      const id = await open().create();
      const wrapped = await open().wrap(id, randomBytes(32), 'a');
      expect(await open().destroy(id)).toBe(true);
      expect(await open().destroy(id)).toBe(false);
      expect(await open().ids()).not.toContain(id);
      await expect(open().unwrap(id, wrapped, 'a')).rejects.toThrow(KekMissing);
    });
  });
}
