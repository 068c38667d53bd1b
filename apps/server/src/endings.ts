/** What is stopped, and how. */
export type Ending = readonly [what: string, end: () => unknown];

/** One after the other, `at` told which one is under way, so that it can be named if it does not end. */
export async function endInOrder(endings: readonly Ending[], at: (what: string) => void): Promise<void> {
  for (const [what, end] of endings) {
    at(what);
    await end();
  }
}
