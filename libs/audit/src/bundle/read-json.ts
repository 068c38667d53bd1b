import { HASH_BYTES, parseBase64, parseDecimal, parseHex, type Hash } from '../tlog/index.js';
import { TERM_TYPES, type TermType } from '../terms/index.js';
import {
  BUNDLE_FORMAT,
  FIRST_BUNDLE_FORMAT,
  type ConsistencyWith,
  type ExportDescription,
  type ExportedTree,
  type ExportFilter,
  type TimestampAbout,
  type TreeProof,
} from './bundle-format.js';

/** A file of the bundle that is not in the form that Fabula writes. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

const TREE = /^(?:root|access|p(?:0|[1-9][0-9]{0,3}))$/;
const MAX_HASHES = 200;

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed(`${what} is not an object`);
  return value as Record<string, unknown>;
}
function parse(bytes: Buffer, what: string): Record<string, unknown> {
  try {
    return object(JSON.parse(bytes.toString('utf8')), what);
  } catch (error) {
    if (error instanceof Malformed) throw error;
    throw new Malformed(`${what} is not JSON`);
  }
}
function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new Malformed(`${what} is not text`);
  return value;
}
function decimal(value: unknown, what: string): string {
  if (parseDecimal(text(value, what)) === undefined) throw new Malformed(`${what} is not a decimal number`);
  return value as string;
}
function hash(value: unknown, what: string): string {
  if (parseBase64(text(value, what), HASH_BYTES) === undefined) throw new Malformed(`${what} is not the base64 of 32 bytes`);
  return value as string;
}
function list(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw new Malformed(`${what} is not a list`);
  return value as unknown[];
}
function hashes(value: unknown, what: string): string[] {
  const found = list(value, what);
  if (found.length > MAX_HASHES) throw new Malformed(`${what} has more than ${MAX_HASHES} hashes`);
  return found.map((one, i) => hash(one, `${what}[${i}]`));
}

/** A hash that was checked while its file was read. */
export function readHash(base64: string): Hash {
  return Buffer.from(base64, 'base64');
}

export function readDescription(bytes: Buffer): ExportDescription {
  const value = parse(bytes, 'export.json');
  const { format } = value;
  if (format !== BUNDLE_FORMAT && format !== FIRST_BUNDLE_FORMAT) throw new Malformed(`export.json is not of format ${BUNDLE_FORMAT}`);
  const trees = list(value['trees'], 'trees').map((one, i): ExportedTree => {
    const tree = object(one, `trees[${i}]`);
    const name = text(tree['tree'], `trees[${i}].tree`);
    if (!TREE.test(name)) throw new Malformed(`trees[${i}].tree is not p<number>, root or access`);
    const [from, to] = [decimal(tree['from'], `trees[${i}].from`), decimal(tree['to'], `trees[${i}].to`)];
    if (BigInt(from) > BigInt(to)) throw new Malformed(`trees[${i}] ends before it begins`);
    const lastLeaf = tree['lastLeaf'] === null ? null : hash(tree['lastLeaf'], `trees[${i}].lastLeaf`);
    return { tree: name, origin: text(tree['origin'], `trees[${i}].origin`), from, to, lastLeaf };
  });
  if (trees.length === 0) throw new Malformed('no tree is exported');
  if (new Set(trees.map(({ tree }) => tree)).size !== trees.length) throw new Malformed('a tree is exported twice');
  const { asked } = value;
  if (asked !== undefined && asked !== 'everything' && asked !== 'part') throw new Malformed('asked is neither everything nor part');
  if (value['bodies'] !== undefined && value['bodies'] !== true) throw new Malformed('bodies is not true');
  return {
    format,
    id: text(value['id'], 'id'),
    logId: text(value['logId'], 'logId'),
    vkey: text(value['vkey'], 'vkey'),
    ...(value['trust'] === undefined ? {} : { trust: text(value['trust'], 'trust') }),
    createdAt: decimal(value['createdAt'], 'createdAt'),
    ...(value['filter'] === undefined || format !== BUNDLE_FORMAT ? {} : { filter: readFilter(value['filter']) }),
    ...(value['bodies'] === true ? { bodies: true } : {}),
    ...(asked === undefined ? {} : { asked }),
    trees,
  };
}

function readFilter(value: unknown): ExportFilter {
  const filter = object(value, 'filter');
  if (filter['kind'] === 'term') {
    const term = object(filter['term'], 'filter.term');
    const type = TERM_TYPES.find((one): one is TermType => one === term['type']);
    if (type === undefined) throw new Malformed('filter.term.type is none that leaves have');
    return { kind: 'term', term: { type, value: text(term['value'], 'filter.term.value') } };
  }
  const [from, to] = [filter['from'], filter['to']];
  if (filter['kind'] !== 'time' || (from === undefined && to === undefined)) throw new Malformed('filter is neither a term nor a time');
  return {
    kind: 'time',
    ...(from === undefined ? {} : { from: decimal(from, 'filter.from') }),
    ...(to === undefined ? {} : { to: decimal(to, 'filter.to') }),
  };
}

/** `null` or an earlier note with its proof. */
export function readConsistency(value: unknown, what: string): ConsistencyWith | null {
  if (value === null) return null;
  const previous = object(value, what);
  return { note: text(previous['note'], `${what}.note`), hashes: hashes(previous['hashes'], `${what}.hashes`) };
}

export function readRootConsistency(bytes: Buffer): ConsistencyWith | null {
  return readConsistency(parse(bytes, 'root-consistency.json')['previous'], 'previous');
}

/** What stands beside a timestamp. */
export function readTimestampAbout(bytes: Buffer): TimestampAbout {
  const value = parse(bytes, 'timestamp.json');
  return { authority: text(value['authority'], 'authority'), hashes: hashes(value['hashes'], 'hashes') };
}

export function readRootCosigned(bytes: Buffer): ConsistencyWith | null {
  return readConsistency(parse(bytes, 'root-cosigned.json'), 'root-cosigned.json');
}

export function readTreeProof(bytes: Buffer): TreeProof {
  const value = parse(bytes, 'proof.json');
  const inRoot = value['inRoot'] === null ? null : object(value['inRoot'], 'inRoot');
  const terms = value['terms'] === undefined ? undefined : object(value['terms'], 'terms');
  return {
    left: hashes(value['left'], 'left'),
    right: hashes(value['right'], 'right'),
    inRoot:
      inRoot === null
        ? null
        : {
            index: decimal(inRoot['index'], 'inRoot.index'),
            leaf: text(inRoot['leaf'], 'inRoot.leaf'),
            hashes: hashes(inRoot['hashes'], 'inRoot.hashes'),
          },
    previous: readConsistency(value['previous'], 'previous'),
    ...(terms === undefined ? {} : { terms: { left: hashes(terms['left'], 'terms.left'), right: hashes(terms['right'], 'terms.right') } }),
  };
}

/** What an entry of the root tree says; undefined when it is none. */
export function readRootLeaf(bytes: Buffer): { readonly tree: string; readonly note: string; readonly terms?: Hash } | undefined {
  try {
    const { tree, note, terms } = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
    if (typeof tree !== 'string' || typeof note !== 'string') return undefined;
    const root = typeof terms === 'string' ? parseHex(terms, HASH_BYTES) : undefined;
    return { tree, note, ...(root === undefined ? {} : { terms: root }) };
  } catch {
    // Not JSON is no entry.
    return undefined;
  }
}
