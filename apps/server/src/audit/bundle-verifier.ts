import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readFile } from 'node:fs/promises';
import path from 'node:path';
import { verifyBundle } from '#lib/audit';
import { errorCode } from '#lib/platform';

const fileIn = (root: string): string => path.join(root, 'dist', 'verifier', 'verify.mjs');

/** The verifier as one file. Undefined where there was no build. */
export async function verifierFile(root: string | undefined): Promise<Buffer | undefined> {
  if (root === undefined) return undefined;
  try {
    return await readFile(fileIn(root));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether a bundle holds together, whoever signed it. By a process of its own where there was a build: what that leaves to be collected goes with it. */
export async function holdsTogether(root: string | undefined, bundle: string): Promise<boolean> {
  const built =
    root !== undefined &&
    (await access(fileIn(root)).then(
      () => true,
      () => false,
    ));
  if (!built) return (await verifyBundle(bundle, { accept: 'part' })).ok;
  const child = spawn(process.execPath, [fileIn(root), bundle, '--partial', '--json'], { stdio: 'ignore', env: {} });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0;
}
