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
 * could not take over are no terms. Of bytes that are no leaf whatever they begin with, or none: whoever reads on says what is wrong with them.
 */
export function termsOfLeaf(bytes: Buffer): readonly Term[] {
  return bytes.includes(BACKSLASH) ? termsByParsing(bytes) : (termsByScanning(bytes) ?? termsByParsing(bytes));
}

const BACKSLASH = 0x5c;
const STORY = '"storyId"';
const VALUE = ':"';
const PLAIN = /^[\x20-\x7e]+$/;
// How every leaf of a decoded record begins, since its members are sorted.
const BEGINNING =
  /^\{"actor":\{"id":"([\x20\x21\x23-\x7e]{1,200})","role":"[^"]{0,200}"\},"at":"[0-9]{1,16}","causationId":(?:null|"[^"]{0,200}"),"correlationId":"([\x20\x21\x23-\x7e]{1,200})","envelope":\{"commandDigest":"[0-9a-f]{64}","commandId":"[^"]{1,300}","eventCount":[0-9]{1,2},"expectedVersion":[0-9]{1,16},"previous":(?:null|"[0-9a-f]{64}"),"stream":"([\x20\x21\x23-\x7e]{1,300})","v":1\},"events":\[/;

/** Half the time of parsing; it runs for every leaf. Nothing is escaped in these bytes, so every quote ends a string. Undefined: parse instead. */
function termsByScanning(bytes: Buffer): readonly Term[] | undefined {
  const text = bytes.toString('latin1');
  const match = BEGINNING.exec(text);
  if (match === null) return undefined;
  const [beginning, actor, correlation, stream] = match as unknown as readonly [string, string, string, string];
  const terms: Term[] = [
    { type: 'stream', value: stream },
    { type: 'actor', value: actor },
    { type: 'correlation', value: correlation },
  ];
  const stories = new Set<string>();
  for (let at = text.indexOf(STORY, beginning.length); at >= 0; at = text.indexOf(STORY, at)) {
    const start = at + STORY.length + VALUE.length;
    // As no leaf of ours is written, but JSON still.
    if (!text.startsWith(VALUE, start - VALUE.length)) return undefined;
    at = text.indexOf('"', start);
    const story = text.slice(start, at);
    // Cut off: bytes of a stranger, who must not have this search begin anew for ever.
    if (at < 0 || !PLAIN.test(story)) return undefined;
    stories.add(story);
  }
  for (const value of stories) terms.push({ type: 'story', value });
  return terms;
}

/** By the letter; the spec holds the quick way to it. */
export function termsByParsing(bytes: Buffer): readonly Term[] {
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
