import type { RecordedEvent } from './decision-record.js';

/** Rewrites an event of version `v` into version `v + 1` of the same type. Pure. */
export type Upcaster = (event: RecordedEvent) => RecordedEvent;

/** An event whose type or version this build does not know: its stream is parked, never guessed at. */
export class UnknownEvent extends Error {
  constructor(
    readonly type: string,
    readonly version: number,
  ) {
    super(`event ${type} v${version} is not known to this version of Fabula`);
    this.name = 'UnknownEvent';
  }
}

export interface EventSchema {
  /** Current version of this event type. */
  readonly version: number;
  /** `upcasters[n]` turns version n + 1 into n + 2. */
  readonly upcasters: readonly Upcaster[];
}

/**
 * Brings a stored event to its current version.
 * @throws UnknownEvent for a type or version outside the catalogue.
 */
export function upcast(event: RecordedEvent, catalogue: ReadonlyMap<string, EventSchema>): RecordedEvent {
  const schema = catalogue.get(event.type);
  if (schema === undefined || event.v < 1 || event.v > schema.version) throw new UnknownEvent(event.type, event.v);
  let current = event;
  for (let v = event.v; v < schema.version; v++) current = (schema.upcasters[v - 1] as Upcaster)(current);
  return current;
}
