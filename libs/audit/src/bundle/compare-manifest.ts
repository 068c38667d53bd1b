import type { Findings } from './findings.js';
import { Malformed } from './read-json.js';

/** Every one of these files stands in the manifest with its hash, and no other. @throws Malformed */
export function compareManifest(findings: Findings, text: string, hashes: ReadonlyMap<string, string>): void {
  const named = new Map<string, string>();
  for (const [i, line] of text.split('\n').slice(0, -1).entries()) {
    const match = /^([0-9a-f]{64}) {2}([\x21-\x7e]{1,100})$/.exec(line);
    if (match === null || named.has(match[2] as string)) throw new Malformed(`line ${i + 1} is not "<sha256>  <file>"`);
    named.set(match[2] as string, match[1] as string);
  }
  for (const [file, hash] of hashes) {
    if (named.get(file) !== hash) findings.add('MANIFEST', `${file} is not the file that the manifest names`, { file });
    named.delete(file);
  }
  for (const file of named.keys()) findings.add('MANIFEST', `${file} is in the manifest but not in the bundle`, { file });
}
