import { readFileSync } from 'node:fs';
import path from 'node:path';

/** Files that `verify-bundle.ts` needs, by following its imports. */
function needed(file: string, found = new Map<string, string[]>()): Map<string, string[]> {
  const source = readFileSync(file, 'utf8');
  const imports = [...source.matchAll(/^(?:import|export)\s[^;]*?from '([^']+)';/gm)].map((match) => match[1] as string);
  found.set(file, imports);
  for (const one of imports) {
    const target = path.resolve(path.dirname(file), one.replace(/\.js$/, '.ts'));
    if (one.startsWith('.') && !found.has(target)) needed(target, found);
  }
  return found;
}

it('the bundle verifier needs only Node and the transparency log core, so that it can travel as one file', () => {
  const files = needed(path.join(__dirname, 'verify-bundle.ts'));
  const foreign = [...files.values()].flat().filter((one) => !one.startsWith('.') && !one.startsWith('node:'));
  const rooms = [...files.keys()].map((file) => path.relative(path.join(__dirname, '..'), file).split(path.sep)[0]);
  expect(foreign).toEqual([]);
  expect([...new Set(rooms)].toSorted()).toEqual(['bundle', 'terms', 'tlog', 'witness']);
  expect(files.size).toBeGreaterThan(8);
});
