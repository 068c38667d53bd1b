import { describeAuditStore } from '../contract/audit-store-contract.js';
import { MemoryAuditStore } from './memory-audit-store.js';

describeAuditStore('memory', () => Promise.resolve(new MemoryAuditStore()));
