import * as fc from 'fast-check';
import { formatCheckpointNote, openCheckpointNote, parseCheckpointNote, signCheckpointNote } from './checkpoint-note.js';
import { leafHash, treeSize } from './hash.js';
import {
  formatNote,
  generateSigner,
  isKeyName,
  MalformedKey,
  MalformedNote,
  openNote,
  parseNote,
  parseSignerKey,
  parseVerifierKey,
  signNote,
  UnverifiedNote,
} from './note.js';
import { parseBase64, parseDecimal, parseHex } from './strict.js';

const RUNS = process.env['FABULA_TEST_LONG'] === undefined ? 2_000 : 1_000_000;
// The example of Go's package sumdb/note: keys, text and signature are public test vectors.
const PETER_VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const PETER_NOTE =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const signer = generateSigner('fabula.example/audit');
const other = generateSigner('other.example');

describe('signed notes', () => {
  it('agree with the published example of sumdb/note', () => {
    const opened = openNote(PETER_NOTE, [parseVerifierKey(PETER_VKEY)]);
    expect(opened.verified).toHaveLength(1);
    expect(parseVerifierKey(PETER_VKEY).vkey).toBe(PETER_VKEY);
    expect(formatNote(parseNote(PETER_NOTE))).toBe(PETER_NOTE);
  });

  it('open with the key that signed and with no other', () => {
    const note = signNote('hello\n\nworld\n', signer, other);
    expect(openNote(note, [signer.verifier]).text).toBe('hello\n\nworld\n');
    expect(openNote(note, [other.verifier, signer.verifier]).verified).toHaveLength(2);
    expect(() => openNote(note, [])).toThrow(UnverifiedNote);
    expect(() => openNote(note, [generateSigner(signer.name).verifier])).toThrow(UnverifiedNote);
  });

  it('are refused when a known key signed something else, even beside a good signature', () => {
    const note = parseNote(signNote('a\n', signer, other));
    const foreign = parseNote(signNote('b\n', signer)).signatures;
    const mixed = formatNote({ text: note.text, signatures: [...foreign, ...note.signatures.slice(1)] });
    expect(() => openNote(mixed, [signer.verifier, other.verifier])).toThrow(UnverifiedNote);
    expect(openNote(mixed, [other.verifier]).verified).toHaveLength(1);
  });

  it('do not survive the change of any one byte of text or signature', () => {
    const note = Buffer.from(signNote('fabula\n12\nroot\n', signer));
    let accepted = 0;
    for (let i = 0; i < note.length; i++) {
      for (const mask of [1, 0x20, 0x80]) {
        const changed = Buffer.from(note);
        changed[i]! ^= mask;
        try {
          openNote(changed, [signer.verifier]);
          accepted++;
        } catch (error) {
          expect(error instanceof MalformedNote || error instanceof UnverifiedNote).toBe(true);
        }
      }
    }
    expect(accepted).toBe(0);
  });

  it('have one spelling: whatever parses is written back the same', () => {
    const valid = signNote('line\n', signer);
    const piece = fc.oneof(
      fc.constantFrom('\n', '\n\n', '\u2014 ', ' ', 'x', valid, valid.slice(6), 'AAAAAAAA', '\u2014 a AAAAAAA=\n', '\r', '\u00a0'),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const text = pieces.join('');
        let note;
        try {
          note = parseNote(text);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedNote);
          return;
        }
        expect(formatNote(note)).toBe(text);
      }),
      { numRuns: RUNS },
    );
  });

  it('are bounded in size and in signatures', () => {
    expect(() => parseNote(`${'x'.repeat(1_000_001)}\n\n`)).toThrow(MalformedNote);
    const one = parseNote(signNote('a\n', signer));
    const many = (n: number): string => formatNote({ text: 'a\n', signatures: Array.from({ length: n }, () => one.signatures[0]!) });
    expect(parseNote(many(16)).signatures).toHaveLength(16);
    expect(() => parseNote(many(101))).toThrow(MalformedNote);
    expect(() => parseNote(Buffer.from([0xff, 0x0a, 0x0a]))).toThrow(MalformedNote);
  });

  it('cannot be signed when they could not be read', () => {
    expect(() => signNote('no newline', signer)).toThrow(MalformedNote);
    expect(() => signNote('bell\u0007\n', signer)).toThrow(MalformedNote);
    expect(() => generateSigner('two words')).toThrow(MalformedKey);
    expect(['a b', 'a+b', '', 'a\u00a0b', 'a\u0085b', 'a\u2003b', '\ud800', 'a\n'].filter(isKeyName)).toEqual([]);
  });
});

describe('keys', () => {
  it('are read back from their text', () => {
    for (let i = 0; i < 20; i++) {
      const made = generateSigner(`k${i}`);
      expect(parseSignerKey(made.skey).skey).toBe(made.skey);
      expect(parseVerifierKey(made.verifier.vkey).vkey).toBe(made.verifier.vkey);
      expect(parseVerifierKey(made.verifier.vkey).verify(Buffer.from('m'), parseSignerKey(made.skey).sign(Buffer.from('m')))).toBe(true);
    }
  });

  it('are refused when any character is changed', () => {
    const vkey = signer.verifier.vkey;
    for (let i = 0; i < vkey.length; i++) {
      for (const replacement of ['A', '0', '+', ' ', '']) {
        const changed = vkey.slice(0, i) + replacement + vkey.slice(i + 1);
        if (changed !== vkey) expect(() => parseVerifierKey(changed)).toThrow(MalformedKey);
      }
    }
    expect(() => parseSignerKey(vkey)).toThrow(MalformedKey);
    expect(() => parseVerifierKey(signer.skey)).toThrow(MalformedKey);
  });
});

describe('checkpoint notes', () => {
  const root = leafHash(Buffer.from('x'));
  it('are the three lines of C2SP tlog-checkpoint', () => {
    expect(formatCheckpointNote({ origin: 'fabula/1/p0', size: treeSize(7), root })).toBe(`fabula/1/p0\n7\n${root.toString('base64')}\n`);
    const signed = signCheckpointNote({ origin: 'fabula/1/p0', size: treeSize(7), root }, signer);
    expect(openCheckpointNote(signed, [signer.verifier])).toEqual({ origin: 'fabula/1/p0', size: 7n, root });
    expect(() => formatCheckpointNote({ origin: 'two words', size: treeSize(7), root })).toThrow(MalformedNote);
  });

  it('have one spelling', () => {
    const base = root.toString('base64');
    for (const bad of [
      `o\n07\n${base}\n`,
      `o\n-1\n${base}\n`,
      `o\n0x1\n${base}\n`,
      `o\n \n${base}\n`,
      `o\n\n${base}\n`,
      `o\n1\n${base}`,
      `o\n1\n${base}\next\n`,
    ])
      expect(() => parseCheckpointNote(bad)).toThrow(MalformedNote);
    for (const bad of [
      `\n1\n${base}\n`,
      `a b\n1\n${base}\n`,
      `o\n1\n${base.slice(0, -1)}\n`,
      `o\n1\n${base.replace('=', '')}\n`,
      `o\n9999999999999999999\n${base}\n`,
    ])
      expect(() => parseCheckpointNote(bad)).toThrow(MalformedNote);
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom('o', '1', base, '', '007', `${base}=`), fc.string()), { maxLength: 5 }), (lines) => {
        const text = lines.join('\n');
        try {
          expect(formatCheckpointNote(parseCheckpointNote(text))).toBe(text);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedNote);
        }
      }),
      { numRuns: RUNS },
    );
  });
});

describe('strict values', () => {
  it('accept exactly one spelling', () => {
    for (const text of ['', ' 1', '1 ', '007', '+1', '-0', '0x10', '1e3', '1n', '9223372036854775808', '\u0661'])
      expect(parseDecimal(text)).toBeUndefined();
    expect(parseDecimal('9223372036854775807')).toBe(2n ** 63n - 1n);
    for (const text of ['AA-_!!AA', 'AA', 'AB==', ' AA==', 'AA==\n']) expect(parseBase64(text)).toBeUndefined();
    for (const text of ['A', 'AB', '0', 'zz']) expect(parseHex(text)).toBeUndefined();
    fc.assert(fc.property(fc.uint8Array(), (bytes) => parseBase64(Buffer.from(bytes).toString('base64'))?.equals(bytes) === true));
    fc.assert(fc.property(fc.bigInt(0n, 2n ** 63n - 1n), (n) => parseDecimal(String(n)) === n));
  });
});
