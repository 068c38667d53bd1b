#!/usr/bin/env node
import { ensureBuilt, ensureInstalled, ensureNode } from '../scripts/ensure.mjs';

ensureNode();
await ensureInstalled();
await ensureBuilt();
await import('../dist/apps/cli/src/main.js');
