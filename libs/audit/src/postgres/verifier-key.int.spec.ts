import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { generateSigner } from '../tlog/index.js';
import { agreeOnKey, AuditKeyDiffers, keptVerifierKey } from './verifier-key.js';

describe('the key that signs the notes of a log', () => {
  let database: TestDatabase;
  const key = () => generateSigner('fabula.test/audit').verifier.vkey;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it('is that of the first process, and a second one with another key is told to copy it', async () => {
    const [first, second] = [key(), key()];
    expect(await keptVerifierKey(database.pool, 'log-a')).toBeUndefined();
    await agreeOnKey(database.pool, 'log-a', first, 'a/audit-signing.key');
    await agreeOnKey(database.pool, 'log-a', first, 'a/audit-signing.key');
    const refusal = agreeOnKey(database.pool, 'log-a', second, 'b/audit-signing.key');
    await expect(refusal).rejects.toThrow(AuditKeyDiffers);
    await expect(refusal).rejects.toThrow("copy `audit-signing.key` from the first node's data directory");
    expect(await keptVerifierKey(database.pool, 'log-a')).toBe(first);
  });

  it('is one when two processes begin at once, and another log has its own', async () => {
    const keys = [key(), key()];
    const ended = await Promise.allSettled(keys.map((one) => agreeOnKey(database.pool, 'log-b', one, 'audit-signing.key')));
    expect(ended.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    await agreeOnKey(database.pool, 'log-c', keys[0] as string, 'audit-signing.key');
    await expect(agreeOnKey(database.pool, 'log-c', keys[1] as string, 'audit-signing.key')).rejects.toThrow(AuditKeyDiffers);
  });
});
