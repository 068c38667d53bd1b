import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const here = dirname(fileURLToPath(import.meta.url));

/** Pages for the server to hand out: `/play` is play/index.html, `/graphiql` is graphiql/index.html, `/assets/*` never changes under its name. */
export default defineConfig({
  root: here,
  base: '/',
  plugins: [react()],
  build: {
    outDir: resolve(here, '../../dist/apps/studio'),
    emptyOutDir: true,
    target: 'es2022',
    // Everything from 'self': an inlined image or font would be a data: address, which the Content-Security-Policy refuses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // GraphiQL's editor is large by nature; it is a page of its own and never part of the player.
    chunkSizeWarningLimit: 5_000,
    rolldownOptions: {
      input: { play: resolve(here, 'play/index.html'), graphiql: resolve(here, 'graphiql/index.html') },
      // GraphiQL's packages carry hints for React's compiler, which has no say here.
      onLog: (level, log, report) => (log.code === 'MODULE_LEVEL_DIRECTIVE' ? undefined : report(level, log)),
    },
  },
  worker: { format: 'es' },
});
