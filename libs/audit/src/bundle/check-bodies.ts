import { createHash } from 'node:crypto';
import type { Findings, Place } from './findings.js';
import type { SealedFields } from './sealed-fields.js';

interface Expected {
  readonly index: bigint;
  /** As the leaf says it, hex; undefined for a leaf that cannot be read, which has been said. */
  readonly record: string | undefined;
}

const QUOTE = 0x22;
const RECORD = /"record":"([0-9a-f]{64})","time":"[0-9]{1,16}","v":1,"verdict":"[a-z]{1,9}"}$/;
const ENDING_BYTES = 200;

/** Whether each body is the record whose digest its leaf holds. Memory is one entries file's digests. */
export class BodyCheck {
  shown = 0;
  /** Records that were kept no more when the export was written. */
  missing = 0;
  private expected: Expected[] = [];
  private next = 0;

  constructor(
    private readonly findings: Findings,
    private readonly tree: string,
    private readonly sealed: SealedFields,
  ) {}

  leaf(index: bigint, bytes: Buffer): void {
    const record = RECORD.exec(bytes.toString('latin1', Math.max(0, bytes.length - ENDING_BYTES)))?.[1];
    this.expected.push({ index, record });
  }

  line(line: Buffer, at: Place): void {
    const leaf = this.expected[this.next++];
    // Said once, at the end of the file.
    if (leaf === undefined) return;
    if (line.equals(NULL)) {
      this.missing++;
      return;
    }
    this.shown++;
    const body = line[0] === QUOTE ? Buffer.from(line.toString('latin1', 1, line.length - 1), 'base64') : line;
    if (leaf.record === undefined) return;
    if (createHash('sha256').update(body).digest('hex') === leaf.record) return this.sealed.record(body);
    this.findings.add('BODY', `the body given for leaf ${leaf.index} of ${this.tree} is not the record that the leaf is about`, {
      ...at,
      index: String(leaf.index),
    });
  }

  /** After a file of bodies. */
  end(at: Place): void {
    if (this.next !== this.expected.length)
      this.findings.add('BODY', `${this.next} bodies are given for ${this.expected.length} leaves of ${this.tree}`, at);
    this.expected = [];
    this.next = 0;
  }
}

const NULL = Buffer.from('null');
