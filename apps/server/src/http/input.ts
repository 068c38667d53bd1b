import { z } from 'zod';
import { FabulaError } from '#lib/platform';

/**
 * Checks a request's parameters or body.
 * @throws FabulaError BAD_INPUT naming every field that is wrong
 */
export function checked<T>(schema: z.ZodType<T>, given: unknown): T {
  const result = schema.safeParse(given ?? {});
  if (result.success) return result.data;
  const problems = result.error.issues.slice(0, 20).map((issue) => ({ field: issue.path.join('.'), message: issue.message }));
  const first = problems[0];
  throw new FabulaError(
    'BAD_INPUT',
    first === undefined ? 'the input is wrong' : `${first.field === '' ? 'the input' : first.field}: ${first.message}`,
    {
      details: { problems },
    },
  );
}

/** A page of at most 100, and where it starts. */
export const pageQuery = z.strictObject({
  first: z.coerce.number().int().min(1).max(100).default(20),
  after: z.string().max(500).optional(),
});
export const hash = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in hex');
export const text = (longest: number): z.ZodType<string> =>
  z
    .string()
    .min(1)
    .max(longest)
    .refine((value) => value.isWellFormed() && !value.includes('\u0000'), 'well-formed text without U+0000');
/** An instant in ISO 8601, as ms since the epoch. */
export const time = z
  .string()
  .datetime({ offset: true })
  .transform((value) => Date.parse(value));
