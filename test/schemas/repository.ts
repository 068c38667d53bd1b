import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { authoringEvents, authoringShapes } from '#lib/authoring';
import { complianceEvents, complianceShapes } from '#lib/compliance';
import { decisionRecordSchema, eventSchemas, type EventSchema, type EventShapes, type JsonSchema } from '#lib/decision';
import { logEvents, logShapes } from '#lib/log';
import { playthroughEvents, playthroughShapes } from '#lib/playthrough';
import { ENVELOPE, type Released, type Schemas, type Written } from './compatibility.js';

/** What the schemas in the repository say, and what the code says. */
export const ROOT = path.resolve(__dirname, '../..');
export const SCHEMAS = path.join(ROOT, 'schemas');
export const RELEASED = path.join(SCHEMAS, 'released');

export const shapes: EventShapes = new Map([...playthroughShapes, ...authoringShapes, ...complianceShapes, ...logShapes]);
export const catalogue: ReadonlyMap<string, EventSchema> = new Map([
  ...playthroughEvents,
  ...authoringEvents,
  ...complianceEvents,
  ...logEvents,
]);

export interface Release {
  readonly version: string;
  /** The commit that the release was built from. */
  readonly commit: string;
  readonly written: Written;
}

export const readJson = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));
export const release = (): Release => readJson(path.join(RELEASED, 'release.json')) as Release;

/** The schemas that stand in a folder. */
export function schemasIn(folder: string): Schemas {
  const files = ['events', '.'].flatMap((sub) =>
    existsSync(path.join(folder, sub)) ? readdirSync(path.join(folder, sub)).map((file) => path.join(sub, file)) : [],
  );
  const found = files.filter((file) => /\.v\d+\.json$/.test(file));
  return new Map(found.map((file) => [path.basename(file, '.json'), readJson(path.join(folder, file)) as JsonSchema]));
}

/** The schemas that the code makes. */
export const schemasMade = (): Schemas =>
  new Map([[`${ENVELOPE}.v1`, decisionRecordSchema], ...eventSchemas(shapes).map(({ name, schema }) => [name, schema] as const)]);

export const writtenNow = (): Written => ({
  [ENVELOPE]: 1,
  ...Object.fromEntries([...shapes].map(([type, { written }]) => [type, written])),
});

export const released = (): Released => ({ schemas: schemasIn(RELEASED), written: release().written });
