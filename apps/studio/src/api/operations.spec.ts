import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSchema, parse, validate } from 'graphql';
import * as operations from './operations.js';

const schema = buildSchema(readFileSync(join(__dirname, '../../../../schema.graphql'), 'utf8'));

describe('what the player asks', () => {
  it.each(Object.entries(operations))('%s fits the committed schema', (_name, operation) => {
    expect(validate(schema, parse(operation.document)).map(({ message }) => message)).toEqual([]);
  });
});
