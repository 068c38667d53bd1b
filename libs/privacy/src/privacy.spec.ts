import { describePseudonymTable } from './contract/pseudonym-table-contract.js';
import { describeSubjectKeyStore } from './contract/subject-key-store-contract.js';
import { MemorySubjectKeys } from './memory-subject-keys.js';
import { MemoryPseudonyms, newPseudonym, Pseudonyms, type PseudonymTable } from './pseudonyms.js';

const keys = new MemorySubjectKeys();
describeSubjectKeyStore('memory', () => keys);
const table = new MemoryPseudonyms();
describePseudonymTable('memory', () => table);

describe('the pseudonyms kept in memory', () => {
  const counting = (): PseudonymTable & { asked: string[] } => {
    const asked: string[] = [];
    const inner = new MemoryPseudonyms();
    return {
      asked,
      findOrAdd(issuer, sub, proposed) {
        asked.push(sub);
        return inner.findOrAdd(issuer, sub, proposed);
      },
      remove: (issuer, sub) => inner.remove(issuer, sub),
    };
  };

  it('asks the table once for a reader, however often and however many at once', async () => {
    const counted = counting();
    const pseudonyms = new Pseudonyms(counted);
    await Promise.all([pseudonyms.of('i', 'a'), pseudonyms.of('i', 'a')]);
    await pseudonyms.of('i', 'a');
    expect(counted.asked).toEqual(['a']);
  });

  it('keeps those used last, up to its limit', async () => {
    const counted = counting();
    const pseudonyms = new Pseudonyms(counted, 2);
    for (const sub of ['a', 'b', 'a', 'c', 'a', 'b']) await pseudonyms.of('i', sub);
    expect(counted.asked).toEqual(['a', 'b', 'c', 'b']);
  });

  it('asks again after a failure', async () => {
    const counted = counting();
    let fails = true;
    const failing: PseudonymTable = {
      findOrAdd: (issuer, sub, proposed) => (fails ? Promise.reject(new Error('down')) : counted.findOrAdd(issuer, sub, proposed)),
      remove: (issuer, sub) => counted.remove(issuer, sub),
    };
    const pseudonyms = new Pseudonyms(failing);
    await expect(pseudonyms.of('i', 'a')).rejects.toThrow('down');
    fails = false;
    expect(await pseudonyms.of('i', 'a')).toMatch(/^r-/);
  });

  it('does not keep an answer that was on its way while the reader was forgotten', async () => {
    const inner = new MemoryPseudonyms();
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    let first = true;
    const slow: PseudonymTable = {
      async findOrAdd(issuer, sub, proposed) {
        const found = await inner.findOrAdd(issuer, sub, proposed);
        if (first) {
          first = false;
          await held;
        }
        return found;
      },
      remove: (issuer, sub) => inner.remove(issuer, sub),
    };
    const pseudonyms = new Pseudonyms(slow);
    const onItsWay = pseudonyms.of('i', 'a');
    await pseudonyms.forget('i', 'a');
    release();
    const old = await onItsWay;
    expect(await pseudonyms.of('i', 'a')).not.toBe(old);
  });

  it('makes pseudonyms that do not repeat', () => {
    const many = Array.from({ length: 2_000 }, newPseudonym);
    expect(new Set(many).size).toBe(2_000);
  });
});
