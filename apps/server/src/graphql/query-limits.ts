import type { DocumentNode, FieldNode, GraphQLSchema, SelectionSetNode } from 'graphql';
import { Kind, print } from 'graphql';
import { getComplexity, type ComplexityEstimator } from 'graphql-query-complexity';
import { FabulaError } from '#lib/platform';

export interface QueryLimits {
  /** Levels of fields. */
  readonly depth: number;
  /** One point a field, a page's fields times its length, and more for each command or question. */
  readonly complexity: number;
}
/** What GraphiQL asks when it opens; allowed under `__schema` and `__type` whatever the limit. */
const INTROSPECTION_DEPTH = 16;
export const MAX_PAGE = 100;

/** A command is decided and recorded, a question goes to the database: neither is to be had by the thousand for one request. */
const ROOT_COST: Readonly<Record<string, number>> = { Mutation: 100, Query: 10 };

const byPage: ComplexityEstimator = ({ args, childComplexity, field, type }) => {
  const root = ROOT_COST[type.name] ?? 0;
  const first: unknown = args['first'];
  if (field.args.some(({ name }) => name === 'first'))
    return root + 1 + Math.min(typeof first === 'number' ? Math.max(first, 1) : 20, MAX_PAGE) * childComplexity;
  return root + 1 + childComplexity;
};

/**
 * Refuses a document that would cost too much, before anything of it runs.
 * @throws FabulaError QUERY_TOO_COMPLEX
 */
export function assertWithinLimits(
  limits: QueryLimits,
  schema: GraphQLSchema,
  document: DocumentNode,
  variables: Record<string, unknown>,
  operationName?: string,
): void {
  if (withinLimits.get(document) === limits) return;
  const depth = depthOf(document, limits.depth);
  if (depth > limits.depth) throw new FabulaError('QUERY_TOO_COMPLEX', `the query is ${depth} levels deep; ${limits.depth} are allowed`);
  let complexity: number;
  try {
    complexity = getComplexity({
      schema,
      query: document,
      variables,
      ...(operationName === undefined ? {} : { operationName }),
      estimators: [byPage],
    });
  } catch (error) {
    throw new FabulaError('BAD_INPUT', error instanceof Error ? error.message : 'the query cannot be measured');
  }
  if (complexity > limits.complexity) {
    throw new FabulaError(
      'QUERY_TOO_COMPLEX',
      `the query costs ${complexity} points; ${limits.complexity} are allowed. Ask for shorter pages or fewer fields`,
    );
  }
  if (costsTheSame(document)) withinLimits.set(document, limits);
}

/** Documents measured before: the server parses a text once and hands the same document over for each request. */
const withinLimits = new WeakMap<DocumentNode, QueryLimits>();

/** Page sizes (Int) and directives (Boolean) that are given as variables can make the same document cost more the next time. */
function costsTheSame(document: DocumentNode): boolean {
  return document.definitions.every(
    (definition) =>
      definition.kind !== Kind.OPERATION_DEFINITION ||
      (definition.variableDefinitions ?? []).every(({ type }) => !/\b(Int|Boolean)\b/.test(print(type))),
  );
}

/** Greatest depth over all operations; fragments count where they are spread, each measured once. */
function depthOf(document: DocumentNode, limit: number): number {
  const fragments = new Map<string, SelectionSetNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition.selectionSet);
  }
  const known = new Map<string, number>();
  const fragmentDepth = (name: string): number => {
    const before = known.get(name);
    if (before !== undefined) return before;
    known.set(name, 0); // a cycle is refused by validation; here it must only end
    const selection = fragments.get(name);
    const depth = selection === undefined ? 0 : selectionDepth(selection);
    known.set(name, depth);
    return depth;
  };
  const selectionDepth = (set: SelectionSetNode): number => {
    let deepest = 0;
    for (const selection of set.selections) {
      const depth =
        selection.kind === Kind.FRAGMENT_SPREAD
          ? fragmentDepth(selection.name.value)
          : selection.kind === Kind.INLINE_FRAGMENT
            ? selectionDepth(selection.selectionSet)
            : fieldDepth(selection);
      deepest = Math.max(deepest, depth);
    }
    return deepest;
  };
  const fieldDepth = (field: FieldNode): number => {
    const depth = 1 + (field.selectionSet === undefined ? 0 : selectionDepth(field.selectionSet));
    const introspects = field.name.value === '__schema' || field.name.value === '__type';
    return introspects && depth <= INTROSPECTION_DEPTH ? Math.min(depth, limit) : depth;
  };
  let deepest = 0;
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OPERATION_DEFINITION) deepest = Math.max(deepest, selectionDepth(definition.selectionSet));
  }
  return deepest;
}
