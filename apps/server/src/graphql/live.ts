/**
 * Makes an async iterable whose `return()` aborts the wait at once. A plain generator that is parked on an await ignores
 * `return()` until the await settles, so an unsubscribed or cut client would leak its source.
 */
export function live<T>(open: (signal: AbortSignal) => AsyncIterable<T>): AsyncIterableIterator<T> {
  const stop = new AbortController();
  const source = open(stop.signal)[Symbol.asyncIterator]();
  const end = { done: true as const, value: undefined };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      try {
        return await source.next();
      } catch (error) {
        if (stop.signal.aborted) return end;
        throw error;
      }
    },
    async return() {
      stop.abort();
      // The source ends by the abort; an error of its end has no reader any more.
      await source.return?.().catch(() => undefined);
      return end;
    },
  };
}
