import {
  getOperationAST,
  GraphQLError,
  Kind,
  Lexer,
  parse,
  print,
  separateOperations,
  Source,
  TokenKind,
  type DocumentNode,
} from 'graphql';
import { FabulaError } from '#lib/platform';

/** What a POST to `/graphql` asks for, once it is known to be a request at all. */
export interface GraphqlRequest {
  /** One operation and the fragments it uses. */
  readonly query: string;
  readonly variables: Record<string, unknown> | undefined;
}

/** GraphiQL's introspection has 500 tokens; a document of 5,000 is nobody's honest question. */
const MAX_TOKENS = 5_000;
/** The parser and the rules behind it recurse; brackets are counted before any of them runs. */
const MAX_BRACKETS = 64;
const KEPT = 1_000;
const LONGEST_KEPT = 8_192;

const OPENS: ReadonlySet<string> = new Set([TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L]);
const CLOSES: ReadonlySet<string> = new Set([TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R]);

/**
 * Stands before the GraphQL server, which reads a query that is no GraphQL as a JSON syntax tree, recurses without bound, and compiles a
 * document once for whichever of its operations was asked for first.
 */
export class DocumentGate {
  private readonly passed = new Map<string, string>();

  /** @throws FabulaError BAD_INPUT, QUERY_TOO_COMPLEX */
  admit(method: string, body: unknown): GraphqlRequest {
    if (method !== 'POST') throw new FabulaError('BAD_INPUT', 'GraphQL requests are sent by POST');
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new FabulaError('BAD_INPUT', 'the body is one object {query, variables, operationName}; lists of requests are not taken');
    const { query, variables, operationName } = body as { readonly [field: string]: unknown };
    if (typeof query !== 'string') throw wrong('query', 'a text');
    if (operationName !== undefined && operationName !== null && typeof operationName !== 'string') throw wrong('operationName', 'a text');
    if (variables !== undefined && variables !== null && (typeof variables !== 'object' || Array.isArray(variables)))
      throw wrong('variables', 'an object');
    return { query: this.operation(query, operationName || undefined), variables: (variables ?? undefined) as GraphqlRequest['variables'] };
  }

  private operation(query: string, name: string | undefined): string {
    const key = `${name ?? ''}\n${query}`;
    const known = this.passed.get(key);
    if (known !== undefined) return known;
    const operation = operationOf(query, name);
    if (key.length <= LONGEST_KEPT) {
      if (this.passed.size >= KEPT) this.passed.delete(this.passed.keys().next().value as string);
      this.passed.set(key, operation);
    }
    return operation;
  }
}

function operationOf(query: string, name: string | undefined): string {
  let document: DocumentNode;
  try {
    measure(query);
    document = parse(query, { maxTokens: MAX_TOKENS });
  } catch (error) {
    if (error instanceof GraphQLError) throw new FabulaError('BAD_INPUT', error.message, { details: { locations: error.locations ?? [] } });
    throw error;
  }
  const operations = document.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  const chosen = getOperationAST(document, name);
  if (chosen === null || chosen === undefined) {
    if (name !== undefined) throw new FabulaError('BAD_INPUT', 'the document has no operation of that operationName');
    throw new FabulaError(
      'BAD_INPUT',
      operations.length === 0 ? 'the document has no operation' : 'operationName says which operation is meant',
    );
  }
  if (chosen.operation === 'subscription')
    throw new FabulaError('BAD_INPUT', 'subscriptions travel over the WebSocket (graphql-transport-ws) at /graphql');
  const alone = operations.length === 1 ? undefined : separateOperations(document)[chosen.name?.value ?? ''];
  return alone === undefined ? query : print(alone);
}

/** @throws FabulaError QUERY_TOO_COMPLEX; GraphQLError for what is no token */
function measure(query: string): void {
  const lexer = new Lexer(new Source(query));
  let depth = 0;
  for (let tokens = 0; ; tokens++) {
    const { kind } = lexer.advance();
    if (kind === TokenKind.EOF) return;
    if (OPENS.has(kind)) depth++;
    else if (CLOSES.has(kind)) depth--;
    if (depth > MAX_BRACKETS) throw new FabulaError('QUERY_TOO_COMPLEX', `the query nests more than ${MAX_BRACKETS} brackets`);
    if (tokens >= MAX_TOKENS) throw new FabulaError('QUERY_TOO_COMPLEX', `the query has more than ${MAX_TOKENS} tokens`);
  }
}

function wrong(field: string, wanted: string): FabulaError {
  return new FabulaError('BAD_INPUT', `${field} is ${wanted}`, { details: { field } });
}
