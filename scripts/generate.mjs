// Writes the generated references and contracts; `--check` only compares and names what is stale.
import fs from 'node:fs';
import path from 'node:path';
import prettier from 'prettier';
import yaml from 'yaml';
import { ensureBuilt, ensureInstalled, ensureNode, root } from './ensure.mjs';

const check = process.argv.includes('--check');
ensureNode();
await ensureInstalled();
await ensureBuilt();

const load = (room) => import(path.join(root, 'dist', 'libs', room, 'src', 'index.js'));
const story = await load('story');
const platform = await load('platform');
const feed = await load('feed');
const { decisionRecordSchema, eventSchemas } = await load('decision');
const { playthroughShapes } = await load('playthrough');
const { authoringShapes } = await load('authoring');
const { complianceShapes } = await load('compliance');
const { logShapes } = await load('log');
const { metricsReference } = await import(path.join(root, 'dist', 'apps', 'server', 'src', 'metrics-catalogue.js'));
const { rolesReference } = await import(path.join(root, 'dist', 'apps', 'server', 'src', 'access', 'roles-reference.js'));
const { retentionReference } = await import(path.join(root, 'dist', 'apps', 'server', 'src', 'retention', 'retention-reference.js'));
const { openApiDocument } = await import(path.join(root, 'dist', 'apps', 'server', 'src', 'openapi.js'));
const { commandLineReference } = await import(path.join(root, 'dist', 'apps', 'cli', 'src', 'program.js'));

const json = (value) => JSON.stringify(value, null, 2);
const yamlOf = (value) =>
  `# Generated from the table of the feed's events (\`npm run generate\`).\n${yaml.stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 })}`;
const files = [
  ...story.lintDocs().map(({ path: name, markdown }) => [name, markdown]),
  ['docs/reference/story.schema.json', json(story.nativeJsonSchema())],
  ['docs/reference/errors.md', platform.errorReference()],
  ['docs/reference/configuration.md', platform.configurationReference()],
  ['docs/reference/metrics.md', metricsReference()],
  ['docs/reference/roles.md', rolesReference()],
  ['docs/reference/retention.md', retentionReference()],
  ['docs/reference/command-line.md', commandLineReference()],
  ['docs/reference/asyncapi.yaml', yamlOf(feed.asyncApiDocument())],
  ['openapi.json', json(await openApiDocument())],
  ['schemas/decision-record.v1.json', json(decisionRecordSchema)],
  ...[playthroughShapes, authoringShapes, complianceShapes, logShapes]
    .flatMap((shapes) => eventSchemas(shapes))
    .map(({ name, schema }) => [`schemas/events/${name}.json`, json(schema)]),
];

const options = (await prettier.resolveConfig(path.join(root, 'package.json'))) ?? {};
const stale = [];
for (const [name, text] of files) {
  const file = path.join(root, name);
  const wanted = await prettier.format(text, { ...options, filepath: file });
  if (fs.existsSync(file) && fs.readFileSync(file, 'utf8') === wanted) continue;
  stale.push(name);
  if (check) continue;
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, wanted);
}
if (stale.length === 0) console.log(`${files.length} generated files are fresh`);
else if (check) console.error(`stale, run \`npm run generate\`:\n${stale.map((name) => `  ${name}`).join('\n')}`);
else console.log(`written:\n${stale.map((name) => `  ${name}`).join('\n')}`);
process.exit(check && stale.length > 0 ? 1 : 0);
