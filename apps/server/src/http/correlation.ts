import { correlationIdFrom } from '#lib/platform';

/** The id that names one request in logs, records and leaves: the caller's if it is well formed, else a new one. */
export function correlationIdOf(header: string | string[] | undefined): string {
  return correlationIdFrom(Array.isArray(header) ? header[0] : header);
}
