import { BadSubject, newPseudonym, Pseudonyms, type PseudonymTable } from '../pseudonyms.js';

/** What every `PseudonymTable` must do, and what `Pseudonyms` does on it. */
export function describePseudonymTable(name: string, open: () => PseudonymTable): void {
  let subs = 0;
  const fresh = (): string => `reader ${name} ${subs++}`;
  const issuer = 'https://issuer.example';

  describe(`${name} as a table of pseudonyms`, () => {
    it('keeps one pseudonym per issuer and subject, that says nothing about them', async () => {
      const sub = fresh();
      const first = await new Pseudonyms(open()).of(issuer, sub);
      expect(first).toMatch(/^r-[a-z2-7]{26}$/);
      expect(await new Pseudonyms(open()).of(issuer, sub)).toBe(first);
      expect(await new Pseudonyms(open()).of(`${issuer}/other`, sub)).not.toBe(first);
      expect(await new Pseudonyms(open()).of(issuer, fresh())).not.toBe(first);
    });

    it('gives processes that meet a reader at once the same pseudonym', async () => {
      const sub = fresh();
      const processes = Array.from({ length: 8 }, () => new Pseudonyms(open()));
      const given = await Promise.all(processes.flatMap((process) => [process.of(issuer, sub), process.of(issuer, sub)]));
      expect(new Set(given).size).toBe(1);
    });

    it('gives a forgotten reader a new pseudonym, and says each time how many links were cut', async () => {
      const table = open();
      const pseudonyms = new Pseudonyms(table);
      const sub = fresh();
      const first = await pseudonyms.of(issuer, sub);
      expect(await table.cut(first)).toBe(1);
      pseudonyms.drop(first);
      expect(await pseudonyms.find(issuer, sub)).toBeNull();
      expect(await pseudonyms.of(issuer, sub)).not.toBe(first);
      expect(await table.cut(first)).toBe(1);
      expect(await table.cut(newPseudonym())).toBe(0);
    });

    it('finds a reader without making one', async () => {
      const pseudonyms = new Pseudonyms(open());
      const sub = fresh();
      expect(await pseudonyms.find(issuer, sub)).toBeNull();
      const made = await pseudonyms.of(issuer, sub);
      expect(await pseudonyms.find(issuer, sub)).toBe(made);
      await expect(pseudonyms.find(issuer, '')).rejects.toThrow(BadSubject);
    });

    it('takes hostile subjects as text, and refuses those that no key can hold', async () => {
      const pseudonyms = new Pseudonyms(open());
      const hostile = `'; drop table fabula.subjects; -- ${fresh()}`;
      expect(await pseudonyms.of(issuer, hostile)).toBe(await pseudonyms.of(issuer, hostile));
      for (const sub of ['', 'x'.repeat(513), 'a\0b', 'a\nb', '\ud800']) {
        await expect(pseudonyms.of(issuer, sub)).rejects.toThrow(BadSubject);
        await expect(pseudonyms.of(sub, 'sub')).rejects.toThrow(BadSubject);
      }
    });
  });
}
