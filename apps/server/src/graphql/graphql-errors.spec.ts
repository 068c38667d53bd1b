import fs from 'node:fs';
import { buildSchema, graphql } from 'graphql';
import { createLogger } from '#lib/platform';
import { publicError } from './graphql-errors.js';

const schema = buildSchema(fs.readFileSync('schema.graphql', 'utf8'));
const logger = createLogger({ level: 'silent' });
const outage = (): never => {
  throw Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED' });
};
const choose = async (rootValue: object) => {
  const { data, errors = [] } = await graphql({
    schema,
    source: `mutation { choose(input: { playthroughId: "p", choiceId: "c", turn: 1, commandId: "x" }) {
      turn duplicate playthrough { turn stateHash story { id } version { hash } history { edges { cursor } } checkpoints { turn } }
    } }`,
    rootValue,
  });
  return { data: data as unknown, errors: errors.map((error) => publicError(error, 'correlation', logger)) };
};

describe('A choice while the database goes away', () => {
  it('that was accepted, but beside which something could not be looked up, is to be sent again: the same command answers as a duplicate', async () => {
    const playthrough = { turn: 2, stateHash: 'h', story: outage, version: outage, history: outage, checkpoints: outage };
    const { data, errors } = await choose({ choose: () => ({ turn: 2, duplicate: false, playthrough }) });
    expect(data).toBeNull();
    expect(errors.length).toBeGreaterThan(0);
    for (const { extensions } of errors) expect(extensions).toMatchObject({ code: 'NOT_YET_VISIBLE', retryable: true });
  });

  it('of which nobody knows whether it was accepted says so', async () => {
    const { errors } = await choose({ choose: outage });
    expect(errors.map(({ extensions }) => extensions['code'])).toEqual(['OUTCOME_UNKNOWN']);
  });
});
