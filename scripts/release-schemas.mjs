// `node scripts/release-schemas.mjs`, on the commit that is released: keeps its schemas as those of the last release, which every later
// change is compared with. Refuses to overwrite a schema that was released before: docs/how-to/evolve-events.md.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { ensureBuilt, ensureInstalled, ensureNode, root } from './ensure.mjs';

ensureNode();
await ensureInstalled();
await ensureBuilt();

const schemas = path.join(root, 'schemas');
const released = path.join(schemas, 'released');
const load = (room) => import(path.join(root, 'dist', 'libs', room, 'src', 'index.js'));
const [{ playthroughShapes }, { authoringShapes }, { complianceShapes }, { logShapes }] = await Promise.all(
  ['playthrough', 'authoring', 'compliance', 'log'].map(load),
);
const shapes = [...playthroughShapes, ...authoringShapes, ...complianceShapes, ...logShapes];
const names = ['decision-record.v1.json', ...fs.readdirSync(path.join(schemas, 'events')).map((name) => `events/${name}`)];

/** A schema without its words for people: only those may change. */
const structure = (file) =>
  JSON.stringify(
    JSON.parse(fs.readFileSync(file, 'utf8'), (key, value) =>
      (key === 'description' || key === 'title') && typeof value === 'string' ? undefined : value,
    ),
  );
const changed = names.filter((name) => {
  const before = path.join(released, name);
  return fs.existsSync(before) && structure(before) !== structure(path.join(schemas, name));
});
if (changed.length > 0) {
  console.error(`released before and changed since: ${changed.join(', ')}; a change needs a new version (docs/how-to/evolve-events.md)`);
  process.exit(1);
}
for (const name of names) {
  fs.mkdirSync(path.dirname(path.join(released, name)), { recursive: true });
  fs.copyFileSync(path.join(schemas, name), path.join(released, name));
}
const release = {
  version: JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')).version,
  commit: execFileSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim(),
  written: { 'decision-record': 1, ...Object.fromEntries(shapes.map(([type, { written }]) => [type, written])) },
};
fs.writeFileSync(path.join(released, 'release.json'), `${JSON.stringify(release, null, 2)}\n`);
// Read by every later release now.
fs.writeFileSync(path.join(schemas, 'written-before-read.json'), '{}\n');
console.log(`${names.length} schemas of ${release.version} (${release.commit.slice(0, 7)}) are kept in schemas/released`);
