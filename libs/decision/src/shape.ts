import type { Json } from '#lib/canonical';

export type JsonSchema = { readonly [keyword: string]: Json };

/**
 * What a stored value looks like, said once: the check that runs before every append and the JSON Schema that others read both come from it.
 * The check is for writers and *closed* (a field that is not named is a fault); the schema is for readers and *open*, since a reader must
 * tolerate what it does not know. `T` ties a shape to its type: a field that one has and the other lacks does not compile.
 */
export interface Shape<T = unknown> {
  readonly schema: JsonSchema;
  /** What is wrong, as `.path: words`; undefined when nothing is. Runs for every event appended: no allocation while all is well. */
  readonly fault: (value: unknown) => string | undefined;
  readonly optional?: true;
  /** For the compiler only. */
  readonly of?: T;
}

export interface ObjectShape<T = unknown> extends Shape<T> {
  readonly fields: ReadonlySet<string>;
}

type Fields<T> = { readonly [K in keyof T]-?: Shape<T[K]> };
type Checked = (value: unknown) => string | undefined;

const shape = <T>(schema: JsonSchema, fault: Checked): Shape<T> => ({ schema, fault });

/** The same shape with words for people in its schema. */
export const about = <S extends Shape>(description: string, of: S): S => ({ ...of, schema: { ...of.schema, description } });

export interface TextLimits {
  /** Default 1. */
  readonly min?: number;
  /** UTF-16 units. (JSON Schema counts code points, so the schema admits whatever the check does.) */
  readonly max: number;
  readonly pattern?: RegExp;
}

export function text({ min = 1, max, pattern }: TextLimits): Shape<string> {
  const bounds = { ...(min > 0 && { minLength: min }), maxLength: max, ...(pattern && { pattern: pattern.source }) };
  const wrong = `: must be text of ${min} to ${max} characters${pattern === undefined ? '' : ` that matches ${pattern.source}`}`;
  return shape({ type: 'string', ...bounds }, (value) =>
    typeof value === 'string' && value.length >= min && value.length <= max && (pattern === undefined || pattern.test(value))
      ? undefined
      : wrong,
  );
}

export function integer(min = 0, max = Number.MAX_SAFE_INTEGER): Shape<number> {
  const wrong = `: must be a whole number from ${min} to ${max}`;
  return shape({ type: 'integer', minimum: min, maximum: max }, (value) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max ? undefined : wrong,
  );
}

export const truth: Shape<boolean> = shape({ type: 'boolean' }, (value) =>
  typeof value === 'boolean' ? undefined : ': must be true or false',
);

export function constant<const V extends string | number>(only: V): Shape<V> {
  const wrong = `: must be ${JSON.stringify(only)}`;
  return shape({ const: only }, (value) => (value === only ? undefined : wrong));
}

export function oneOf<const V extends string>(...values: readonly V[]): Shape<V> {
  const wrong = `: must be one of ${values.join(', ')}`;
  const known: ReadonlySet<unknown> = new Set(values);
  return shape({ enum: values }, (value) => (known.has(value) ? undefined : wrong));
}

export function nullable<T>(of: Shape<T>): Shape<T | null> {
  return shape({ anyOf: [of.schema, { type: 'null' }] }, (value) => (value === null ? undefined : of.fault(value)));
}

/** Whichever fits; the last one says what is wrong. */
export function anyOf<T>(...shapes: readonly Shape<T>[]): Shape<T> {
  return shape({ anyOf: shapes.map((one) => one.schema) }, (value) => {
    let fault: string | undefined;
    for (const one of shapes) {
      fault = one.fault(value);
      if (fault === undefined) return undefined;
    }
    return fault;
  });
}

export function list<T>(of: Shape<T>, max?: number): Shape<readonly T[]> {
  const wrong = max === undefined ? ': must be a list' : `: must be a list of at most ${max}`;
  return shape({ type: 'array', items: of.schema, ...(max !== undefined && { maxItems: max }) }, (value) => {
    if (!Array.isArray(value) || (max !== undefined && value.length > max)) return wrong;
    for (let i = 0; i < value.length; i++) {
      const fault = of.fault(value[i]);
      if (fault !== undefined) return `[${i}]${fault}`;
    }
    return undefined;
  });
}

export function map<T>(key: Shape<string>, of: Shape<T>): Shape<{ readonly [name: string]: T }> {
  return shape({ type: 'object', propertyNames: key.schema, additionalProperties: of.schema }, (value) => {
    if (!isObject(value)) return ': must be an object';
    for (const name in value) {
      const wrong = key.fault(name);
      if (wrong !== undefined) return `["${name}"]: as a name it${wrong.slice(1)}`;
      const fault = of.fault(value[name]);
      if (fault !== undefined) return `["${name}"]${fault}`;
    }
    return undefined;
  });
}

/** The field may be left out. */
export const optional = <T>(of: Shape<T>): Shape<T | undefined> => ({ ...(of as Shape<T | undefined>), optional: true });

export function object<T>(fields: Fields<T>): ObjectShape<T> {
  const entries = Object.entries<Shape>(fields as { readonly [name: string]: Shape });
  const names = entries.map(([name]) => name);
  const faults = entries.map(([, { fault }]) => fault);
  const mayLack = entries.map(([, { optional: may }]) => may === true);
  const known: ReadonlySet<string> = new Set(names);
  const schema: JsonSchema = {
    type: 'object',
    required: names.filter((_, i) => mayLack[i] === false),
    properties: Object.fromEntries(entries.map(([name, field]) => [name, field.schema])),
  };
  const fault: Checked = (value) => {
    if (!isObject(value)) return ': must be an object';
    let present = 0;
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      const field = value[name];
      if (field === undefined) {
        if (mayLack[i] !== true) return `.${name}: is missing`;
        continue;
      }
      const wrong = (faults[i] as Checked)(field);
      if (wrong !== undefined) return `.${name}${wrong}`;
      present++;
    }
    const all = Object.keys(value);
    return all.length === present
      ? undefined
      : `.${all.find((name) => !known.has(name) || value[name] === undefined)}: is not a field of it`;
  };
  return { schema, fault, fields: known };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** 64 hex characters. */
export const sha256Shape = (): Shape<string> => text({ min: 64, max: 64, pattern: /^[0-9a-f]{64}$/ });
