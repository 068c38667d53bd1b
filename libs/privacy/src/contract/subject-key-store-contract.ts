import { Sealer, SealBroken, SubjectForgotten } from '../sealer.js';
import type { SubjectKey, SubjectKeyStore } from '../subject-keys.js';

/** What every `SubjectKeyStore` must do, and what `Sealer` does on it. */
export function describeSubjectKeyStore(name: string, open: () => SubjectKeyStore): void {
  let subjects = 0;
  const fresh = (): string => `r-${name}-${subjects++}`;

  describe(`${name} as a store of subject keys`, () => {
    it('has no key for a subject until one is asked to be made', async () => {
      const subject = fresh();
      expect(await open().keyOf(subject, { create: false })).toBeNull();
      const made = await open().keyOf(subject, { create: true });
      expect(made?.key.length).toBe(32);
      expect(await open().keyOf(subject, { create: false })).toEqual(made);
    });

    it('gives all who ask at once the same key, and each subject another', async () => {
      const subject = fresh();
      const asked = await Promise.all(Array.from({ length: 20 }, () => open().keyOf(subject, { create: true })));
      expect(new Set(asked.map((key) => key?.kid)).size).toBe(1);
      expect(new Set(asked.map((key) => key?.key.toString('hex'))).size).toBe(1);
      const other = await open().keyOf(fresh(), { create: true });
      expect(other?.key.equals(asked[0]?.key ?? Buffer.alloc(0))).toBe(false);
    });

    it('destroys a key for ever, even for who wants to make one, and says each time which', async () => {
      const subject = fresh();
      const made = await open().keyOf(subject, { create: true });
      expect(await open().byKid(made?.kid ?? '')).toEqual(made);
      expect(await open().destroy(subject)).toEqual([made?.kid]);
      expect(await open().destroy(subject)).toEqual([made?.kid]);
      expect(await open().keyOf(subject, { create: true })).toBeNull();
      expect(await open().byKid(made?.kid ?? '')).toBeNull();
    });

    it('remembers that a subject was forgotten before it ever had a key', async () => {
      const subject = fresh();
      expect(await open().destroy(subject)).toEqual([]);
      expect(await open().keyOf(subject, { create: true })).toBeNull();
      expect(await open().destroy(subject)).toEqual([]);
    });

    it('leaves no key to a subject that is destroyed while many ask for one', async () => {
      const subject = fresh();
      const asked = Array.from({ length: 12 }, () => open().keyOf(subject, { create: true }));
      const [destroyed] = await Promise.all([open().destroy(subject), ...asked]);
      expect(await open().keyOf(subject, { create: true })).toBeNull();
      expect((await open().destroy(subject)).length).toBeGreaterThanOrEqual(destroyed.length);
    });

    it('knows no key of a name that nobody has', async () => {
      expect(await open().byKid('nobody')).toBeNull();
    });

    it('seals text that only its subject can read, and never twice the same', async () => {
      const sealer = new Sealer(open());
      const [mine, other] = [fresh(), fresh()];
      const text = 'Before the bridge, 橋の前 🌉';
      const first = await sealer.seal(mine, text);
      const second = await sealer.seal(mine, text);
      expect(await sealer.unseal(mine, first.sealed)).toBe(text);
      expect(second.sealed.ct).not.toBe(first.sealed.ct);
      expect(second.mark).toBe(first.mark);
      expect((await sealer.seal(mine, `${text}.`)).mark).not.toBe(first.mark);
      expect((await sealer.seal(other, text)).mark).not.toBe(first.mark);
      expect(JSON.stringify(first)).not.toContain('bridge');
      await expect(sealer.unseal(other, first.sealed)).rejects.toThrow(SealBroken);
    });

    it('finds every change of a sealed text', async () => {
      const sealer = new Sealer(open());
      const subject = fresh();
      const { sealed } = await sealer.seal(subject, 'a name');
      for (const field of ['iv', 'ct', 'tag'] as const) {
        const bytes = Buffer.from(sealed[field], 'base64url');
        bytes[0] = (bytes[0] ?? 0) ^ 1;
        await expect(sealer.unseal(subject, { ...sealed, [field]: bytes.toString('base64url') })).rejects.toThrow(SealBroken);
      }
      await expect(sealer.unseal(subject, { ...sealed, tag: sealed.tag.slice(0, 6) })).rejects.toThrow(SealBroken);
    });

    it('binds a sealed text to its subject, even where two subjects were given one key', async () => {
      const keys = open();
      const owner = fresh();
      const { sealed } = await new Sealer(keys).seal(owner, 'a name');
      const mistaken: SubjectKeyStore = {
        keyOf: (subject, options) => keys.keyOf(subject, options),
        byKid: async (kid) => ({ ...((await keys.byKid(kid)) as SubjectKey), subject: `${owner}-other` }),
        destroy: (subject) => keys.destroy(subject),
      };
      await expect(new Sealer(mistaken).open(sealed)).rejects.toThrow(SealBroken);
    });

    it('opens the fields of several subjects in one event by their keys; forgetting one leaves the others', async () => {
      const keys = open();
      const sealer = new Sealer(keys);
      const [one, other] = [fresh(), fresh()];
      const fields = [(await sealer.seal(one, 'from one')).sealed, (await sealer.seal(other, 'from the other')).sealed];
      const opened = async (): Promise<unknown> => Promise.all(fields.map((field) => sealer.open(field)));
      expect(await opened()).toEqual([
        { subject: one, text: 'from one' },
        { subject: other, text: 'from the other' },
      ]);
      await keys.destroy(one);
      expect(await opened()).toEqual([null, { subject: other, text: 'from the other' }]);
    });

    it('reads nothing and seals nothing once the key is gone', async () => {
      const keys = open();
      const sealer = new Sealer(keys);
      const subject = fresh();
      const { sealed } = await sealer.seal(subject, 'a name');
      await keys.destroy(subject);
      expect(await sealer.unseal(subject, sealed)).toBeNull();
      await expect(sealer.seal(subject, 'another')).rejects.toThrow(SubjectForgotten);
    });

    it('refuses to seal more than 4 KiB', async () => {
      await expect(new Sealer(open()).seal(fresh(), 'é'.repeat(2_049))).rejects.toThrow(RangeError);
    });
  });
}
