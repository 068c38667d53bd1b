import { parseVerifierKey, type TrustedKey } from '../tlog/index.js';

/** Sizes by tree, decimal. */
export type TreeSizes = Readonly<Record<string, string>>;

/** A key that signs or signed a log's notes, as the store remembers it: the oldest first, the last one is the current. */
export interface KeptKey {
  /** `<name>+<id>+<key>` */
  readonly vkey: string;
  /** The newest signed sizes when it was announced: it signs from above them. */
  readonly since: TreeSizes;
  /** Up to these sizes its signature alone counts; null for the current one. */
  readonly until: TreeSizes | null;
  /** ms */
  readonly announcedAt: number;
}

/** The trust policy that follows from them, the newest key first. @throws MalformedKey */
export function trustOf(kept: readonly KeptKey[]): readonly TrustedKey[] {
  return kept
    .map(({ vkey, until }): TrustedKey => {
      const verifier = parseVerifierKey(vkey);
      return until === null
        ? { verifier }
        : { verifier, until: new Map(Object.entries(until).map(([tree, size]) => [tree, BigInt(size)])) };
    })
    .toReversed();
}
