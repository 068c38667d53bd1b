// swc transformer that leaves CommonJS alone and down-levels ESM (ours and dependencies') to CJS.
const { createTransformer } = require('@swc/jest');
const crypto = require('node:crypto');
const base = {
  swcrc: false,
  sourceMaps: 'inline',
  module: { type: 'commonjs' },
  jsc: {
    target: 'es2023',
    keepClassNames: true,
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
  },
};
const ts = createTransformer(base);
const js = createTransformer({ ...base, sourceMaps: false, jsc: { target: 'es2023', parser: { syntax: 'ecmascript' } } });
const esm = /^\s*(import\b|export\b)|\bimport\.meta\b|\bimport\s*\(|[;}]\s*(import|export)\s*[{*"'\w]/m;
module.exports = {
  canInstrument: ts.canInstrument,
  process(src, file, o) {
    if (file.endsWith('.ts')) return ts.process(src, file, o);
    if (!esm.test(src)) return { code: src };
    return js.process(src, file, o);
  },
  getCacheKey(src, file, o) {
    return crypto.createHash('sha256').update(src).update(file).update(String(o.instrument)).update('v3').digest('hex').slice(0, 32);
  },
};
