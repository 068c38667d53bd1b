import { applyRecordedStory, storyStateHash, type StoryStreamState } from '#lib/authoring';
import { canonicalJson, sha256Hex } from '#lib/canonical';
import { applyRecordedCompliance, complianceStateHash, type ComplianceState } from '#lib/compliance';
import { admit, decodeRecord, EMPTY_HEAD, upcast, type DecisionRecord, type EventSchema, type StreamHead } from '#lib/decision';
import { evolveLog, logEvents, type LogEvent, type LogState } from '#lib/log';
import { applyRecorded, stateHash, type PlaythroughState } from '#lib/playthrough';

/** What a record led to when it was written. */
export interface Led {
  /** SHA-256 of the record's bytes. */
  readonly digest: string;
  /** Hash of its stream's state after it. */
  readonly stateHash: string;
}
export interface Replayed {
  readonly records: readonly DecisionRecord[];
  readonly led: readonly Led[];
}

type Folded = { head: StreamHead } & (
  | { readonly of: 'playthrough'; state: PlaythroughState | null }
  | { readonly of: 'story'; state: StoryStreamState | null }
  | { readonly of: 'compliance'; state: ComplianceState | null }
  | { readonly of: 'log'; state: LogState | null }
);

/** One record per line, in the bytes of the log: canonical JSON holds no line break. */
export function linesOf(ndjson: Buffer): readonly Buffer[] {
  const lines: Buffer[] = [];
  for (let from = 0; from < ndjson.length;) {
    const to = ndjson.indexOf(0x0a, from);
    if (to < 0) throw new Error('the last record has no end');
    lines.push(ndjson.subarray(from, to));
    from = to + 1;
  }
  return lines;
}

/**
 * Decodes, admits, upcasts and folds records of any streams, each stream from its beginning, as every reader of the log does.
 * @throws when a record is not accepted, or does not lead to the state that it says.
 */
export function replay(lines: readonly Buffer[], catalogues?: { readonly playthrough: ReadonlyMap<string, EventSchema> }): Replayed {
  const streams = new Map<string, Folded>();
  const records: DecisionRecord[] = [];
  const led = lines.map((bytes, offset) => {
    const decoded = decodeRecord(bytes);
    if (decoded.kind !== 'record') throw new Error(`record ${offset} is ${decoded.kind}`);
    const { record, digest } = decoded;
    const folded: Folded = streams.get(record.stream) ?? {
      head: EMPTY_HEAD,
      of: ofStream(record.stream),
      state: null,
    };
    streams.set(record.stream, folded);
    const { verdict, head } = admit(folded.head, record, digest, offset);
    if (verdict !== 'accepted') throw new Error(`record ${offset} of ${record.stream} is ${verdict}`);
    folded.head = head;
    records.push(record);
    if (folded.of === 'story') for (const event of record.events) folded.state = applyRecordedStory(folded.state, event);
    else if (folded.of === 'compliance') for (const event of record.events) folded.state = applyRecordedCompliance(folded.state, event);
    else if (folded.of === 'log')
      for (const event of record.events) folded.state = evolveLog(folded.state, upcast(event, logEvents) as unknown as LogEvent);
    else for (const event of record.events) folded.state = applyRecorded(folded.state, event, catalogues?.playthrough);
    return { digest: sha256Hex(bytes), stateHash: hashOf(folded) };
  });
  return { records, led };
}

function hashOf(folded: Folded): string {
  if (folded.state === null) throw new Error('a record without events');
  if (folded.of === 'log') return sha256Hex(canonicalJson(folded.state));
  if (folded.of === 'compliance') return complianceStateHash(folded.state);
  return folded.of === 'story' ? storyStateHash(folded.state) : stateHash(folded.state);
}

function ofStream(stream: string): Folded['of'] {
  const type = stream.slice(0, stream.indexOf('/'));
  return type === 'story' || type === 'log' || type === 'compliance' ? type : 'playthrough';
}
