import { GraphQLError, GraphQLScalarType } from 'graphql';

const textOnly = (name: string) => (value: unknown) => {
  if (typeof value !== 'string') throw new GraphQLError(`${name} is a text`);
  return value;
};

/** ISO 8601 from milliseconds. Only ever sent, never received. */
export const DateTimeScalar = new GraphQLScalarType<never, string>({
  name: 'DateTime',
  description: 'ISO 8601, UTC, milliseconds.',
  serialize: (value) => new Date(value as number).toISOString(),
});

/** A position token as the projections write it; its content is checked where it is used. */
export const PositionScalar = new GraphQLScalarType<string, string>({
  name: 'Position',
  description: 'Opaque place in the log (log, partition, offset). Give it as `minPosition` to read your own write.',
  serialize: textOnly('Position'),
  parseValue: textOnly('Position'),
  parseLiteral: (node) => textOnly('Position')(node.kind === 'StringValue' ? node.value : undefined),
});

/** A variable's value, sent as it is. */
export const JsonScalar = new GraphQLScalarType<never, unknown>({
  name: 'JSON',
  description: "A variable's value: boolean, integer, text, or a list of texts.",
  serialize: (value) => value,
});
