import type { RecordedEvent } from './decision-record.js';
import { constant, object, type JsonSchema, type ObjectShape, type Shape } from './shape.js';

/** Every version that an event type ever had. */
export interface EventVersions {
  /**
   * The version that deciders write. It may lag behind the newest one that is read: a version is read by one release before the next one
   * writes it, so that nodes of both can run together. 0: none yet.
   */
  readonly written: number;
  /** `versions[n]` is version n + 1. What has been released is never changed. */
  readonly versions: readonly ObjectShape[];
}
/** By event type. */
export type EventShapes = ReadonlyMap<string, EventVersions>;

type FieldsOf<E> = { readonly [K in Exclude<keyof E, 'type' | 'v'>]-?: Shape<E[K]> };

/** One version of one event type; `E` is its TypeScript type. */
export function eventShape<E extends { readonly type: string; readonly v: number }>(
  type: E['type'],
  v: E['v'],
  description: string,
  fields: FieldsOf<E>,
): ObjectShape<E> {
  const whole = object<E>({ type: constant(type), v: constant(v), ...fields } as unknown as { readonly [K in keyof E]-?: Shape<E[K]> });
  return { ...whole, schema: { ...head(eventSchemaId(type, v), `${type}, version ${v}`, description), ...whole.schema } };
}

/** What an event's JSON Schema is known as, e.g. to name it in a message that carries the event. */
export const eventSchemaId = (type: string, v: number): string => `urn:fabula:event:${type}:v${v}`;

export const head = (id: string, title: string, description: string): JsonSchema => ({
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: id,
  title,
  description,
});

/** An event that its own schema refuses was about to be appended: a defect of whoever decided it. */
export class MalformedEvent extends Error {
  override readonly name = 'MalformedEvent';
}

/**
 * What is wrong with an event about to be written; undefined: nothing. Only the written version will do: what older nodes cannot read yet
 * must not reach the log.
 */
export function eventProblem(event: RecordedEvent, shapes: EventShapes): string | undefined {
  const known = shapes.get(event.type);
  if (known === undefined) return `${event.type}: there is no schema of such an event`;
  if (event.v !== known.written)
    return `${event.type} v${event.v}: ${known.written === 0 ? 'none' : `version ${known.written}`} is what is written`;
  const fault = (known.versions[event.v - 1] as ObjectShape).fault(event);
  return fault === undefined ? undefined : `${event.type} v${event.v}${fault}`;
}

/** Names of the fields that an event of that type and version has; undefined where this build does not know it. */
export function knownFields(shapes: EventShapes, type: string, v: number): ReadonlySet<string> | undefined {
  return shapes.get(type)?.versions[v - 1]?.fields;
}

const NONE: readonly string[] = [];

/**
 * Fields of a stored event that its schema does not name: written by something else than a Fabula of that version. They are tolerated and
 * counted. Outer fields only; none for an event that this build does not know. Costs a look-up per field: it may run for every record.
 */
export function unknownFields(event: RecordedEvent, shapes: EventShapes): readonly string[] {
  const known = knownFields(shapes, event.type, event.v);
  if (known === undefined) return NONE;
  let unknown: string[] | undefined;
  for (const name in event) if (!known.has(name)) (unknown ??= []).push(name);
  return unknown ?? NONE;
}

/** The JSON Schema of every version of every type, by the name of its file. */
export function eventSchemas(shapes: EventShapes): readonly { readonly name: string; readonly schema: JsonSchema }[] {
  return [...shapes].flatMap(([type, { versions }]) => versions.map(({ schema }, i) => ({ name: `${type}.v${i + 1}`, schema })));
}
