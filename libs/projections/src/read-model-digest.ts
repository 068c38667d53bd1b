import { sha256Hex } from '#lib/canonical';
import { TABLE_NAMES, type TableName } from './tables.js';

/** What all the read models hold, in one value per table: equal digests mean equal rows, whatever their order and adapter. */
export interface ReadModelDigest {
  /** `<partition> <next offset> <last time> <verdict counts>` each. */
  readonly positions: readonly string[];
  readonly tables: { readonly [table in TableName]: { readonly rows: number; readonly sha256: string } };
}

/** Where a digest takes its rows from. */
export interface DigestSource {
  digestPositions(): Promise<readonly string[]>;
  /** Every row's text (see `rowText`), in any order. */
  rowTexts(table: TableName): Promise<readonly string[]>;
}

/** For tests and small stores: reads everything. The rebuild's parity check counts and hashes inside Postgres instead. */
export async function readModelDigest(source: DigestSource): Promise<ReadModelDigest> {
  const tables: Partial<Record<TableName, { rows: number; sha256: string }>> = {};
  for (const name of TABLE_NAMES) {
    const texts = [...(await source.rowTexts(name))].sort();
    tables[name] = { rows: texts.length, sha256: sha256Hex(texts.join('\n')) };
  }
  return { positions: await source.digestPositions(), tables: tables as ReadModelDigest['tables'] };
}
