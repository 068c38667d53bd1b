import { projectionContract } from './contract/projection-contract.js';
import { MemoryProjection } from './memory-projection.js';

projectionContract(
  'memory',
  async () => {
    const store = new MemoryProjection();
    return { store, cold: store };
  },
  60,
);
