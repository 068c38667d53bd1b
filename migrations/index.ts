export { applyGrants } from './apply-grants.js';
export { createDataSource, KEYS_SCHEMA, NotMigrated, runMigrations, SCHEMA } from './data-source.js';
export { DATABASE_ROLES, GRANTS, KEY_GRANTS, POLICIES, type DatabaseRole } from './grants.js';
