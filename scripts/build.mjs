import { ensureBuilt, ensureInstalled, ensureNode } from './ensure.mjs';

ensureNode();
await ensureInstalled();
await ensureBuilt();
