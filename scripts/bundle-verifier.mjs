// Makes dist/verify.mjs, the verifier that travels with every export: one file that needs Node's own modules and nothing else.
import fs from 'node:fs';
import path from 'node:path';
import { build } from 'vite';
import { root } from './ensure.mjs';

const outDir = path.join(root, 'dist', 'verifier');
await build({
  configFile: false,
  root,
  logLevel: 'warn',
  publicDir: false,
  // The compiled files, not the sources: the same as the command line runs.
  resolve: { conditions: ['default'] },
  ssr: { noExternal: true, resolve: { conditions: ['default'] } },
  build: {
    ssr: path.join(root, 'dist', 'apps', 'cli', 'src', 'verify-alone.js'),
    outDir,
    minify: false,
    target: 'node20',
    rolldownOptions: {
      // Only what is called comes along: no module that it needs does anything when it is loaded.
      treeshake: { moduleSideEffects: (id) => id.endsWith('verify-alone.js') },
      output: { entryFileNames: 'verify.mjs', codeSplitting: false },
    },
  },
});

const file = path.join(outDir, 'verify.mjs');
const code = fs.readFileSync(file, 'utf8');
const foreign = [...code.matchAll(/^(?:import|export)\s[^;]*?from\s*["']([^"']+)["']|\b(?:require|import)\(["']([^"']+)["']\)/gm)]
  .map((match) => match[1] ?? match[2])
  .filter((name) => !name.startsWith('node:'));
if (foreign.length > 0) throw new Error(`verify.mjs needs ${[...new Set(foreign)].join(', ')}, which no receiver has`);
