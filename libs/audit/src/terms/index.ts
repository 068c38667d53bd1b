export { termsOfLeaf, termText, TERM_TYPES, type Term, type TermType } from './leaf-terms.js';
export {
  BLOCK_LEAVES,
  blockOf,
  blocksOf,
  decodeSummary,
  encodeSummary,
  markOf,
  MAX_SUMMARY_BYTES,
  positionsOf,
  termKey,
  type BlockLeaf,
  type Summary,
} from './term-block.js';
export { TermTree, type FilledBlock, type TermBlock } from './term-tree.js';
