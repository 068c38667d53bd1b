// `npm start`: from a fresh clone to a running server with the sample stories published.
import { spawn } from 'node:child_process';
import { ensureBuilt, ensureInstalled, ensureNode, root } from './ensure.mjs';

ensureNode();
await ensureInstalled();
await ensureBuilt();

const server = spawn(process.execPath, ['--enable-source-maps', 'dist/apps/server/src/main.js', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
// Ctrl-C in a terminal reaches the server by itself as well; being told twice does no harm, not being told would leave it running.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.kill(signal));
server.once('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
