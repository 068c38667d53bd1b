import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { asyncApiDocument, FEED_TYPES } from './index.js';

interface Document {
  readonly components: {
    readonly messages: Readonly<Record<string, { readonly name: string; readonly payload: { readonly $ref: string } }>>;
    readonly schemas: Readonly<Record<string, unknown>>;
  };
  readonly channels: { readonly feed: { readonly messages: Readonly<Record<string, { readonly $ref: string }>> } };
}

describe('the AsyncAPI document of the feed', () => {
  const file = path.resolve(__dirname, '../../../docs/reference/asyncapi.yaml');
  const written = parse(readFileSync(file, 'utf8')) as Document;

  it('is the one that the table of events makes', () => {
    expect(written).toEqual(JSON.parse(JSON.stringify(asyncApiDocument())));
  });

  it("is valid by AsyncAPI's own schema, which refuses a spoilt one", () => {
    const schema = JSON.parse(readFileSync(require.resolve('@asyncapi/specs/schemas/3.0.0-without-$id.json'), 'utf8')) as object;
    const valid = new Ajv({ strict: false, validateFormats: false }).compile(schema);
    expect([valid(written), valid.errors]).toEqual([true, null]);
    expect(valid({ ...written, operations: { publish: { action: 'shout' } } })).toBe(false);
  });

  it('leads from the channel to the message and the schema of every type', () => {
    const found = Object.values(written.channels.feed.messages).map(({ $ref }) => {
      const message = written.components.messages[$ref.replace('#/components/messages/', '')];
      const schema = written.components.schemas[message?.payload.$ref.replace('#/components/schemas/', '') ?? ''];
      return [message?.name, schema];
    });
    expect(Object.fromEntries(found)).toEqual(
      JSON.parse(JSON.stringify(Object.fromEntries(Object.entries(FEED_TYPES).map(([type, { data }]) => [type, data])))),
    );
  });
});
