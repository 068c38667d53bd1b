/** What a leaf can be found by, provably: the kinds of terms that the summaries of a tree's blocks hold. */
export const TERM_TYPES = ['stream', 'actor', 'correlation', 'story'] as const;
export type TermType = (typeof TERM_TYPES)[number];

export interface Term {
  readonly type: TermType;
  readonly value: string;
}

/** `type`, a zero byte, `value`: what is hashed. No value holds a zero byte, so that two terms never have one text. */
export function termText({ type, value }: Term): string {
  return `${type}\0${value}`;
}

/**
 * The terms of a leaf, as its exact bytes say them: its stream, actor and correlation id, and each story id of its events. Names that the leaf
 * could not take over are no terms. Bytes that are no leaf have none: whoever reads on says what is wrong with them.
 */
export function termsOfLeaf(bytes: Buffer): readonly Term[] {
  const leaf = object(parsed(bytes));
  const found = new Map<string, Term>();
  const add = (type: TermType, value: unknown): void => {
    if (typeof value !== 'string' || value === '' || value.includes('\0')) return;
    const term = { type, value };
    found.set(termText(term), term);
  };
  add('stream', object(leaf['envelope'])['stream']);
  add('actor', object(leaf['actor'])['id']);
  add('correlation', leaf['correlationId']);
  if (Array.isArray(leaf['events'])) for (const event of leaf['events'] as unknown[]) add('story', object(event)['storyId']);
  return [...found.values()];
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    // Not JSON is no leaf, and has no terms.
    return undefined;
  }
}
function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
