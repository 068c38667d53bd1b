export { createDataSource, runMigrations, SCHEMA } from './data-source.js';
