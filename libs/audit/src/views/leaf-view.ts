/** What one leaf says, in words that tables and event formats can take. Derived: the evidence is the leaf's bytes. */
export interface LeafView {
  readonly tree: string;
  readonly index: string;
  /** ms since the epoch; of entries of the access log their own time, else the log's. */
  readonly time: number;
  /** The verdict on a record, or the outcome of an access. */
  readonly outcome: string;
  readonly actor: string;
  readonly roles: string;
  /** The record's event types, or what was asked for. */
  readonly action: string;
  /** The stream, or what was looked at. */
  readonly target: string;
  readonly correlationId: string;
  readonly story: string;
  readonly passage: string;
  readonly choice: string;
  readonly toPassage: string;
  readonly offset: string;
  /** SHA-256 of the record. */
  readonly record: string;
}

/** Undefined for leaves of the root tree, which are notes, and for what is no leaf. */
export function leafView(tree: string, bytes: Buffer): LeafView | undefined {
  const leaf = object(parsed(bytes));
  const index = word(leaf['index']);
  const time = Number(word(leaf['time']));
  if (tree === 'root' || !Number.isSafeInteger(time)) return undefined;
  const common = { tree, index, time, correlationId: word(leaf['correlationId']) };
  const nothing = { story: '', passage: '', choice: '', toPassage: '', offset: '', record: '' };
  if (tree === 'access')
    return {
      ...{ ...common, ...nothing, outcome: word(leaf['outcome']), actor: word(leaf['actor']), action: word(leaf['action']) },
      roles: list(leaf['roles']).map(word).join(' '),
      target: Object.entries(object(leaf['target']))
        .map(([name, value]) => `${name}=${word(value)}`)
        .join(' '),
    };
  const actor = object(leaf['actor']);
  const events = list(leaf['events']).map(object);
  const last = (name: string): string => word(events.findLast((event) => event[name] !== undefined)?.[name]);
  return {
    ...common,
    outcome: [word(leaf['verdict']), word(leaf['reason'])].filter((one) => one !== '').join(' '),
    actor: word(actor['id']),
    roles: word(actor['role']),
    action: events.map((event) => word(event['type'])).join(' '),
    target: word(object(leaf['envelope'])['stream']),
    story: last('storyId'),
    passage: last('passage'),
    choice: last('choice'),
    toPassage: last('toPassage'),
    offset: word(leaf['offset']),
    record: word(leaf['record']),
  };
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    // No leaf: the verifier says so, and the views of its bundle are thrown away.
    return undefined;
  }
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);

/** A word that was too long for a leaf stands there as how long it was. */
function word(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  const omitted = object(value)['omitted'];
  return typeof omitted === 'number' ? `(${omitted} characters omitted)` : '';
}
