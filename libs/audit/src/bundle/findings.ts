/** Exit codes of the verifiers, by kind of tampering. 0 is a bundle or store without a finding; 2 is bad usage. */
export const EXIT_CODES = {
  /** A note or manifest that the trusted key did not sign. */
  SIGNATURE: 10,
  /** Leaves that do not give the signed root. */
  ROOT: 11,
  /** Leaves missing in the middle. */
  GAP: 12,
  /** Leaves in another order, twice, or inserted. */
  REORDER: 13,
  /** The end is missing, or the whole is older than what was released. */
  TRUNCATION: 14,
  /** Two signed histories of one log. */
  FORK: 15,
  /** A leaf's bytes were changed. */
  LEAF: 16,
  /** A file that is not the one in the signed manifest. */
  MANIFEST: 17,
  /** Not in the form that Fabula writes. */
  MALFORMED: 18,
  /** The note that was given could not be compared with this bundle. */
  PREVIOUS_UNPROVED: 19,
  /** Something was left out: a leaf that the filter asks for, a tree, or the beginning or end of one. */
  INCOMPLETE: 20,
  /** A filtered export shows a leaf that its filter does not ask for. */
  SURPLUS: 21,
  /** Summaries of blocks that are not those that were signed. */
  TERMS: 22,
  /** A body that is not the record that its leaf is about. */
  BODY: 23,
  /** A timestamp that is not about the note beside it, or that its certificate did not sign. */
  TIMESTAMP: 24,
  /** A cosignature that is wrong, or too few of them for the policy that was given. */
  WITNESS: 25,
  /** What a pruned partition of the log begins with is not what was recorded; found in a store only. */
  BASE: 26,
} as const;

export type FindingKind = keyof typeof EXIT_CODES;

/** Where it was found; `byte` counts from 0 in the archive, `line` from 1 in the file. */
export interface Place {
  readonly file?: string;
  readonly line?: number;
  readonly byte?: number;
  readonly tree?: string;
  readonly index?: string;
  readonly offset?: string;
}

export interface Finding {
  readonly kind: FindingKind;
  readonly exitCode: number;
  /** A sentence for people. */
  readonly message: string;
  readonly where: Place;
}

/** What says most about the cause comes first: one changed byte makes several findings. */
const PRIORITY: readonly FindingKind[] = [
  'SIGNATURE',
  'FORK',
  'TRUNCATION',
  'REORDER',
  'GAP',
  'LEAF',
  'BODY',
  'INCOMPLETE',
  'SURPLUS',
  'ROOT',
  'TERMS',
  'MALFORMED',
  'MANIFEST',
  'TIMESTAMP',
  'WITNESS',
  'PREVIOUS_UNPROVED',
];
const MAX_FINDINGS = 50;

/** Collects findings, bounded; the first of each kind is always kept. */
export class Findings {
  private readonly found: Finding[] = [];
  total = 0;

  add(kind: FindingKind, message: string, where: Place): void {
    this.total++;
    const first = !this.found.some((finding) => finding.kind === kind);
    if (first || this.found.length < MAX_FINDINGS) this.found.push({ kind, exitCode: EXIT_CODES[kind], message, where });
  }
  has(...kinds: readonly FindingKind[]): boolean {
    return this.found.some(({ kind }) => kinds.includes(kind));
  }
  /** The cause first. */
  get list(): readonly Finding[] {
    return this.found.toSorted((a, b) => PRIORITY.indexOf(a.kind) - PRIORITY.indexOf(b.kind));
  }
  get exitCode(): number {
    return this.list[0]?.exitCode ?? 0;
  }
}
