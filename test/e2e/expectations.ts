import { Refused } from '../support/api-client.js';

/** The refusal that the work must end with. */
export async function refused(work: Promise<unknown>): Promise<Refused> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
  throw new Error('this should have been refused');
}

/** Asks until the answer is there; a server's own pace, not a fixed sleep, decides when. */
export async function eventually<T>(ask: () => Promise<T | undefined>, what: string, withinMs = 45_000): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`did not come true within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
