import { GraphQLError } from 'graphql';
import type { Logger } from '#lib/platform';
import { asFabulaError, type PublicProblem } from '../http/problem.js';

/**
 * The error a client may see: a code of the catalogue, whether and when to try again, the correlation id; never a stack, never the text of an unexpected error.
 */
export function publicError(error: unknown, correlationId: string, logger: Logger, more: Record<string, unknown> = {}): GraphQLError {
  const original = error instanceof GraphQLError ? (error.originalError ?? undefined) : undefined;
  // Below the field that was asked for everything is only read: a mutation has had its effect by then.
  const nested = error instanceof GraphQLError && (error.path?.length ?? 0) > 1;
  const problem: PublicProblem = asFabulaError(
    isOurs(original) ? original : isDocumentError(error) ? badDocument(error) : (original ?? error),
    nested ? 'to read' : 'for a command',
  );
  const { code, message, retryable, retryAfterMs, details } = problem;
  if (code === 'INTERNAL') logger.error({ error: original ?? error, correlationId, ...more }, 'GraphQL request failed');
  const located = error instanceof GraphQLError ? error : undefined;
  return new GraphQLError(message, {
    ...(located?.nodes === undefined ? {} : { nodes: located.nodes }),
    ...(located?.source === undefined ? {} : { source: located.source }),
    ...(located?.positions === undefined ? {} : { positions: located.positions }),
    ...(located?.path === undefined ? {} : { path: located.path }),
    extensions: { ...details, ...more, code, retryable, ...(retryAfterMs === undefined ? {} : { retryAfterMs }), correlationId },
  });
}

const isOurs = (error: unknown): boolean => error instanceof Error && error.name === 'FabulaError';
/** Syntax, validation and variable errors come from graphql-js itself, without an original error. */
const isDocumentError = (error: unknown): error is GraphQLError =>
  error instanceof GraphQLError &&
  (error.originalError === undefined || error.originalError === null || error.originalError.name === 'GraphQLError');
const badDocument = (error: GraphQLError): { name: 'BadDocument'; message: string } => ({ name: 'BadDocument', message: error.message });
