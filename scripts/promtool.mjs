// `node scripts/promtool.mjs`: builds Prometheus' own checker into .cache, once, for the specs of deploy/prometheus. Prints where it is.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const VERSION = 'v0.313.4';
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const binary = path.join(root, '.cache', 'promtool', VERSION, 'promtool');

if (!fs.existsSync(binary)) build();
console.log(binary);

function build() {
  const go = (args, env = {}) =>
    execFileSync('go', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  let source;
  try {
    source = JSON.parse(go(['mod', 'download', '-json', `github.com/prometheus/prometheus@${VERSION}`])).Dir;
  } catch (error) {
    console.error(error.code === 'ENOENT' ? 'promtool is built from source: install Go 1.25 or newer (https://go.dev/dl).' : error.message);
    process.exit(1);
  }
  console.error('building promtool, a few minutes the first time …');
  fs.mkdirSync(path.dirname(binary), { recursive: true });
  // `go install …@version` refuses modules with replacements; as the main module they hold. Its workspace names folders that are not released.
  go(['build', '-C', source, '-mod=readonly', '-trimpath', '-ldflags', '-s -w', '-p', '2', '-o', `${binary}.part`, './cmd/promtool'], {
    GOWORK: 'off',
  });
  fs.renameSync(`${binary}.part`, binary);
}
