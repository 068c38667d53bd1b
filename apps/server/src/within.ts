import { systemTimers } from '#lib/platform';

/** The answer, or `late` when it has not come after `ms`; what comes of it later is nobody's concern, a failure neither. */
export async function within<T>(asking: Promise<T>, ms: number): Promise<T | 'late'> {
  let cancel = (): void => undefined;
  const late = new Promise<'late'>((resolve) => (cancel = systemTimers.after(ms, () => resolve('late'))));
  try {
    return await Promise.race([asking, late]);
  } finally {
    cancel();
  }
}
