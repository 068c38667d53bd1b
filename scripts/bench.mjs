// `npm run bench`: Fabula beside its peers and floors. Installs the peers (bench/packages) on demand, so that nobody else has to.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { ensureBuilt, ensureInstalled, ensureNode, root, step } from './ensure.mjs';

ensureNode();
await ensureInstalled();
await ensureBuilt();
await ensurePeers();

const { ok } = await step('compiling the bench', process.execPath, ['node_modules/typescript-7/bin/tsc', '-p', 'bench']);
if (!ok) process.exit(1);

const bench = spawn(process.execPath, ['--enable-source-maps', 'dist/bench/main.js', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
// The bench ends by itself, with its cluster.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => signal === 'SIGTERM' && bench.kill(signal));
bench.once('exit', (code) => process.exit(code ?? 1));

async function ensurePeers() {
  const packages = path.join(root, 'bench', 'packages');
  const stamp = path.join(packages, 'node_modules', '.installed');
  const wanted = createHash('sha256')
    .update(fs.readFileSync(path.join(packages, 'package-lock.json')))
    .digest('hex');
  if (!(fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted)) {
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
    const options = { cwd: packages, shell: process.platform === 'win32' };
    const { ok: installed } = await step('installing the peers (once)', npm, ['ci', '--no-audit', '--no-fund'], options);
    if (!installed) process.exit(1);
    fs.writeFileSync(stamp, wanted);
  }
  // Compiled peers find their packages here, and nothing else in dist does.
  const link = path.join(root, 'dist', 'bench', 'peers', 'node_modules');
  fs.mkdirSync(path.dirname(link), { recursive: true });
  if (!fs.existsSync(link)) fs.symlinkSync(path.join(packages, 'node_modules'), link, 'junction');
}
