/** What went wrong with a request, as the server's error catalogue says it; `NETWORK` and `TIMEOUT` are the client's own. */
export class Problem extends Error {
  override readonly name = 'Problem';
  constructor(
    readonly code: string,
    message: string,
    readonly retryable: boolean,
    readonly extensions: { readonly [key: string]: unknown } = {},
  ) {
    super(message);
  }
  get correlationId(): string | undefined {
    return typeof this.extensions['correlationId'] === 'string' ? this.extensions['correlationId'] : undefined;
  }
  get retryAfterMs(): number | undefined {
    return typeof this.extensions['retryAfterMs'] === 'number' ? this.extensions['retryAfterMs'] : undefined;
  }
}

export const asProblem = (error: unknown): Problem =>
  error instanceof Problem ? error : new Problem('INTERNAL', error instanceof Error ? error.message : String(error), false);
