// `npm start`: from a fresh clone to a running server with the sample stories published.
import { spawn } from 'node:child_process';
import { ensureBuilt, ensureInstalled, ensureNode, root } from './ensure.mjs';

ensureNode();
await ensureInstalled();
await ensureBuilt();

// What is made for one page of a large export is garbage with the next: a larger young generation keeps more of it for longer.
const flags = ['--enable-source-maps', '--max-semi-space-size=8'];
const server = spawn(process.execPath, [...flags, 'dist/apps/server/src/main.js', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
// Ctrl-C in a terminal reaches the server by itself as well; being told twice does no harm, not being told would leave it running.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.kill(signal));
server.once('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
