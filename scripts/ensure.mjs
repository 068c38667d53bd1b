// What every entry point needs first: the right Node, installed packages, a fresh build. Says what it does while it does it.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const tty = process.stderr.isTTY === true;

export function ensureNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(
    `Fabula needs Node 20.19 or newer; this is ${process.versions.node}. Install a current Node from https://nodejs.org and run the command again.`,
  );
  process.exit(2);
}

/** Steps that run now, side by side; the first has the clock. */
const running = new Set();

/** Runs a step quietly with a running clock; its output is shown only if it fails. */
export async function step(title, command, args, options = {}) {
  const started = Date.now();
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(0)} s`;
  let output = '';
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  child.stdout.on('data', (data) => (output += data));
  child.stderr.on('data', (data) => (output += data));
  if (!tty) process.stderr.write(`  ${title} …\n`);
  running.add(title);
  const clock = setInterval(() => {
    if (tty && running.values().next().value === title) process.stderr.write(`\r\x1b[K  ${title} … ${seconds()} `);
  }, 500);
  const code = await new Promise((resolve) => {
    child.once('error', (error) => ((output += error.message), resolve(1)));
    child.once('exit', (status) => resolve(status ?? 1));
  });
  clearInterval(clock);
  running.delete(title);
  process.stderr.write(`${tty ? '\r\x1b[K' : ''}  ${code === 0 ? '✓' : '✗'} ${title} (${seconds()})\n`);
  if (code !== 0) process.stderr.write(`${output}\n`);
  return { ok: code === 0, output };
}

async function must(title, command, args, options) {
  const { ok } = await step(title, command, args, options);
  if (!ok) process.exit(1);
}

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

/** Installs exactly what package-lock.json names, once per lock file. */
export async function ensureInstalled() {
  const stamp = path.join(root, 'node_modules', '.fabula-installed');
  const wanted = sha256(fs.readFileSync(path.join(root, 'package-lock.json')));
  if (!(fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted)) {
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
    await must('installing packages (once; about a minute)', npm, ['ci', '--no-audit', '--no-fund'], {
      shell: process.platform === 'win32',
    });
    fs.writeFileSync(stamp, wanted);
  }
  linkCommand();
}

/** Makes `npx fabula` find this checkout's own command. */
function linkCommand() {
  const link = path.join(root, 'node_modules', '.bin', 'fabula');
  if (process.platform === 'win32' || fs.existsSync(link)) return;
  fs.symlinkSync(path.join('..', '..', 'bin', 'fabula.mjs'), link);
}

const SOURCES = ['scripts/bundle-verifier.mjs', 'apps', 'libs', 'migrations', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];

/** Changes whenever a source file does: paths, sizes and modification times. */
function sourceFingerprint() {
  const lines = [];
  const visit = (file) => {
    const stat = fs.statSync(file);
    if (stat.isDirectory()) for (const name of fs.readdirSync(file).sort()) visit(path.join(file, name));
    else lines.push(`${path.relative(root, file)} ${stat.size} ${stat.mtimeMs}`);
  };
  for (const source of SOURCES) visit(path.join(root, source));
  return sha256(lines.join('\n'));
}

/** Compiles server, command line and studio when a source changed since the last build. */
export async function ensureBuilt() {
  const stamp = path.join(root, 'dist', '.fabula-built');
  const wanted = sourceFingerprint();
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted) return;
  await must('compiling the server', process.execPath, ['node_modules/typescript-7/bin/tsc', '-p', 'tsconfig.build.json']);
  await must('building the pages', process.execPath, [
    'node_modules/vite/bin/vite.js',
    'build',
    '--config',
    'apps/studio/vite.config.ts',
    '--logLevel',
    'warn',
  ]);
  await must('building the verifier', process.execPath, ['scripts/bundle-verifier.mjs']);
  fs.writeFileSync(stamp, wanted);
}
