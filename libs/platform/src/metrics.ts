import { collectDefaultMetrics, Registry } from 'prom-client';

/** A registry with the process metrics (memory, event loop, descriptors); rooms add their own to it. One per process: `/metrics` prints it. */
export function createMetrics(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

export type { Registry as Metrics } from 'prom-client';
