import type { admit } from '#lib/decision';

/** What stands in for `admit` while a bug is planted in it; used by planted-bugs.spec.ts alone. */
export const planted: { admit: typeof admit | undefined } = { admit: undefined };
