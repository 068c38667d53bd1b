export { canonicalJson, MAX_CANONICAL_DEPTH, NotCanonical, type Json } from './canonical-json.js';
export { sha256Hex } from './sha256.js';
