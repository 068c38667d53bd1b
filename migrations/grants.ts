/** Group roles, one per role of a process; `fabula_base` is in all of them, `fabula_compliance` goes with the auditor's processes. */
export const DATABASE_ROLES = [
  'fabula_base',
  'fabula_api',
  'fabula_engine',
  'fabula_projector',
  'fabula_auditor',
  'fabula_signer',
  'fabula_publisher',
  'fabula_compliance',
] as const;
export type DatabaseRole = (typeof DATABASE_ROLES)[number];

type Privileges = { readonly [role in DatabaseRole]?: string };

const READ = { fabula_base: 'select' } as const;

/**
 * Who may do what with each table of `fabula`: the whole list, compared with the catalogue by a test. The owner of the tables, and
 * superusers, may do everything. Rows of the audit's trees are divided further by the policies below.
 */
export const GRANTS: Readonly<Record<string, Privileges>> = {
  migrations: READ,
  log_identity: { fabula_base: 'select, insert' },
  log_partitions: { fabula_base: 'select, insert', fabula_engine: 'update' },
  log_records: { ...READ, fabula_engine: 'insert', fabula_compliance: 'delete' },
  log_begins: { ...READ, fabula_compliance: 'insert, update' },
  partition_owners: { fabula_base: 'select, insert, update, delete' },
  cluster: READ,
  known_log: { fabula_base: 'select, insert, update' },
  // Emptied by the owner's first start, read since to see that they are.
  subjects: READ,
  subject_keys: READ,
  story_blobs: { ...READ, fabula_api: 'insert', fabula_engine: 'insert' },
  projection_generations: { ...READ, fabula_projector: 'insert, update, delete' },
  log_bases: { ...READ, fabula_compliance: 'insert, update, delete' },
  parked_retries: { ...READ, fabula_api: 'insert, update', fabula_projector: 'insert, update, delete' },
  dead_letters: { ...READ, fabula_api: 'insert, update', fabula_projector: 'insert, update, delete' },
  releases: { ...READ, fabula_api: 'insert' },
  feed_positions: { ...READ, fabula_publisher: 'insert, update, delete' },
  feed_key: { fabula_publisher: 'select, insert' },
  compliance_work: { ...READ, fabula_compliance: 'insert, update, delete' },
  audit_heads: {
    fabula_base: 'select, insert, update',
    fabula_auditor: 'delete',
    fabula_signer: 'insert, update',
    // Nothing is written to it: a row may only be locked by whoever may update something in it.
    fabula_compliance: 'update (log_id)',
  },
  audit_leaves: { fabula_base: 'select, insert', fabula_auditor: 'delete', fabula_compliance: 'delete' },
  audit_tiles: { fabula_base: 'select, insert, update', fabula_auditor: 'delete' },
  audit_term_blocks: { ...READ, fabula_auditor: 'delete', fabula_signer: 'insert, update', fabula_compliance: 'update' },
  audit_bases: { ...READ, fabula_compliance: 'insert, update' },
  audit_stream_bases: { ...READ, fabula_compliance: 'insert, update' },
  audit_pruned: { ...READ, fabula_compliance: 'insert, update' },
  audit_notes: { ...READ, fabula_signer: 'insert, update' },
  audit_keys: { ...READ, fabula_signer: 'insert, update', fabula_compliance: 'insert, update' },
  audit_signing_keys: { ...READ, fabula_signer: 'insert, update', fabula_compliance: 'insert, update' },
  audit_cosignatures: { ...READ, fabula_signer: 'insert, update, delete' },
  audit_forks: { ...READ, fabula_signer: 'insert' },
  audit_timestamps: { ...READ, fabula_signer: 'insert, delete' },
  audit_exports: { ...READ, fabula_api: 'insert, update', fabula_compliance: 'insert, update' },
};

/** The same for `fabula_keys`. Nobody but compliance's executor destroys or changes a key. */
export const KEY_GRANTS: Readonly<Record<string, Privileges>> = {
  migrations: READ,
  // A key-encryption key is locked while something is wrapped under it, which asks for the right to update some column.
  keks: { fabula_base: 'select, insert, update (created_at)', fabula_compliance: 'update' },
  index_key: { fabula_base: 'select, insert', fabula_compliance: 'update' },
  subjects: { ...READ, fabula_api: 'insert', fabula_compliance: 'delete' },
  subject_keys: { ...READ, fabula_api: 'insert', fabula_engine: 'insert', fabula_compliance: 'insert, update' },
  forgotten: { ...READ, fabula_compliance: 'insert, update' },
};

/**
 * The same for the read models of a generation, whichever projector's user made them: every process reads them, another projector may write
 * and drop them. Whoever releases a dead letter holds the partition's position meanwhile, which asks for the right to update some column:
 * of that one only reports are made.
 */
export const SHARE_GENERATION = `
create or replace function fabula.share_generation(generation text) returns void language plpgsql as $$
begin
  if to_regrole('fabula_base') is null or to_regrole('fabula_projector') is null or to_regrole('fabula_api') is null then return; end if;
  execute format('grant usage on schema %I to fabula_base', generation);
  execute format('grant select on all tables in schema %I to fabula_base', generation);
  execute format('grant all on all tables in schema %I to fabula_projector', generation);
  execute format('grant update (invalid) on %I.positions to fabula_api', generation);
  execute format('alter default privileges in schema %I grant select on tables to fabula_base', generation);
  execute format('alter default privileges in schema %I grant all on tables to fabula_projector', generation);
  if pg_has_role('fabula_projector', 'usage') and has_database_privilege('fabula_projector', current_database(), 'create') then
    execute format('alter schema %I owner to fabula_projector', generation);
  end if;
end $$`;

interface Policy {
  readonly table: 'audit_heads' | 'audit_leaves' | 'audit_tiles';
  readonly name: string;
  readonly command: 'select' | 'insert' | 'update' | 'delete';
  readonly role: DatabaseRole;
  readonly using?: string;
  readonly check?: string;
}

const tables = ['audit_heads', 'audit_leaves', 'audit_tiles'] as const;
const growing = (role: DatabaseRole, trees: string, rows: string): Policy[] => [
  ...tables.map((table): Policy => ({ table, name: `${trees}_added`, command: 'insert', role, check: rows })),
  { table: 'audit_heads', name: `${trees}_grown`, command: 'update', role, using: rows, check: rows },
  { table: 'audit_tiles', name: `${trees}_grown`, command: 'update', role, using: rows, check: rows },
];

/** Whose rows are whose: partitions' trees (0 and up) are the auditor's, the root tree (-1) the signer's, the access log (-2) everybody's. */
export const POLICIES: readonly Policy[] = [
  ...tables.map((table): Policy => ({ table, name: 'all_read', command: 'select', role: 'fabula_base', using: 'true' })),
  ...growing('fabula_auditor', 'partitions', 'log >= 0'),
  ...growing('fabula_signer', 'root', 'log = -1'),
  ...growing('fabula_base', 'access', 'log = -2'),
  // A rebuild forgets what can be built again; never the access log.
  ...tables.map((table): Policy => ({ table, name: 'derived_forgotten', command: 'delete', role: 'fabula_auditor', using: 'log >= -1' })),
  // Whoever releases a dead letter holds the head of its partition's tree, and changes nothing in it.
  { table: 'audit_heads', name: 'partitions_held', command: 'update', role: 'fabula_api', using: 'log >= 0', check: 'false' },
  // The signer keeps a tree's term blocks while it holds the head: it may lock any, change none but its own, and open an empty one.
  { table: 'audit_heads', name: 'any_locked', command: 'update', role: 'fabula_signer', using: 'true', check: 'log = -1' },
  { table: 'audit_heads', name: 'empty_opened', command: 'insert', role: 'fabula_signer', check: 'size = 0 and next_offset = 0' },
  // What two people had pruned.
  { table: 'audit_leaves', name: 'expired_pruned', command: 'delete', role: 'fabula_compliance', using: 'log >= 0' },
  // Pruning holds the tree's head, a new signing key is announced under the root tree's.
  { table: 'audit_heads', name: 'derived_locked', command: 'update', role: 'fabula_compliance', using: 'log >= -1', check: 'log >= -1' },
];
