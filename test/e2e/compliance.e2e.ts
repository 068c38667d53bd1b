import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { UserRole } from '#lib/platform';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually } from './expectations.js';

interface Done {
  readonly id: string;
  readonly duplicate: boolean;
}
interface Event {
  readonly type: string;
  readonly subject: string;
  readonly partition: number;
  readonly offset: number;
  readonly correlationId: string;
  readonly role: string;
}
interface Page<T> {
  readonly edges: readonly { readonly node: T }[];
}
interface ActionView {
  readonly stage: string;
  readonly result: unknown;
}

const BASE = '/admin/compliance';
jest.setTimeout(120_000);

describe('what two persons decide', () => {
  let database: TestDatabase;
  let dataDir: string;
  let server: ServerProcess;

  const start = async (): Promise<void> => {
    server = await ServerProcess.start({ databaseUrl: database.url, dataDir });
  };
  beforeAll(async () => {
    database = await createTestDatabase();
    dataDir = await temporaryDataDir();
    await start();
  });
  afterAll(async () => {
    await server?.stop();
    await database?.drop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const as = async (sub: string, ...roles: readonly UserRole[]): Promise<ApiClient> =>
    new ApiClient(server.url, await server.token(roles, sub));
  /** @throws Error with status and code */
  const post = async (client: ApiClient, path: string, body: object = {}, headers: Record<string, string> = {}): Promise<Done> => {
    const answer = await client.rest('POST', BASE + path, body, headers);
    if (answer.status >= 300) throw new Error(`${answer.status} ${(answer.body as { code: string }).code}`);
    return answer.body as Done;
  };
  const events = async (): Promise<readonly Event[]> => {
    const { body } = await (await as('cleo', 'compliance')).rest('GET', `${BASE}/events?first=100`);
    return (body as Page<Event>).edges.map(({ node }) => node);
  };
  /** There is a person behind that pseudonym. */
  const somebody = async (pseudonym: string): Promise<string> => {
    await database.pool.query(`insert into fabula_keys.subjects (blind_index, pseudonym) values (sha256($1::text::bytea), $1)`, [
      pseudonym,
    ]);
    return pseudonym;
  };
  const erasure = (subject: string): object => ({
    action: { kind: 'erase', subject, legalBasis: 'GDPR 17(1)(b)' },
    reason: 'request 815',
  });

  test('a hold is placed over REST, is in the log and in the audit, and stops an erasure until two persons release it', async () => {
    const [dora, otto, ada, cleo] = [
      await as('dora', 'dpo'),
      await as('otto', 'dpo'),
      await as('ada', 'admin'),
      await as('cleo', 'compliance'),
    ];
    const correlation = randomUUID();
    const subject = await somebody('r-aaaaaaaaaaaaaaaaaaaaaaaaaa');
    // What is proposed stands in the log for ever: a name must not get there in place of a pseudonym.
    await expect(post(dora, '/actions', erasure('anna@example.org'))).rejects.toThrow('400 BAD_INPUT');
    await expect(post(dora, '/holds', { scope: { kind: 'subject', id: 'anna@example.org' }, matter: 'case 12' })).rejects.toThrow(
      '400 BAD_INPUT',
    );
    expect(JSON.stringify(await events())).not.toContain('anna@');
    const placing = { scope: { kind: 'subject', id: subject }, matter: 'case 12' };
    await expect(post(ada, '/holds', placing)).rejects.toThrow('403 FORBIDDEN');
    const hold = await post(dora, '/holds', placing, { 'x-correlation-id': correlation });
    const placed = (await events()).find((event) => event.subject === hold.id);
    expect(placed).toMatchObject({ type: 'HoldPlaced', role: 'dpo', correlationId: correlation });

    const leaf = await eventually(async () => {
      const { body } = await cleo.rest('GET', `/audit/search?correlationId=${correlation}`);
      return (body as { hits?: readonly { readonly log: string; readonly index: string }[] }).hits?.[0];
    }, 'the leaf of the hold');
    const { text } = await cleo.rest('GET', `/audit/logs/${leaf.log}/entries?from=${leaf.index}&to=${Number(leaf.index) + 1}`);
    expect(JSON.parse(text)).toMatchObject({
      offset: String(placed?.offset),
      partition: placed?.partition,
      verdict: 'accepted',
      envelope: { stream: 'compliance/main' },
      events: [{ type: 'HoldPlaced' }],
    });
    // Words of staff are no business of a leaf.
    expect(text).not.toContain('case 12');

    await expect(post(dora, '/actions', erasure(subject))).rejects.toThrow('409 HELD');
    const release = await post(dora, `/holds/${hold.id}/release`, { reason: 'it is settled' });
    await expect(post(dora, `/actions/${release.id}/approve`)).rejects.toThrow('409 NEEDS_ANOTHER_PERSON');
    await expect(post(await as('olaf', 'operator'), `/actions/${release.id}/approve`)).rejects.toThrow('403 FORBIDDEN');
    await post(otto, `/actions/${release.id}/approve`);
    expect(((await cleo.rest('GET', `${BASE}/holds?active=true`)).body as Page<object>).edges).toEqual([]);
    const { id } = await post(dora, '/actions', erasure(subject));
    await post(dora, `/actions/${id}/withdraw`);
    expect((await events()).map(({ type }) => type)).toEqual([
      'HoldPlaced',
      'ActionProposed',
      'ActionApproved',
      'HoldReleased',
      'ActionCarriedOut',
      'ActionProposed',
      'ActionWithdrawn',
    ]);
  });

  test('an erasure that was approved is carried out once, although the server is killed as soon as it is', async () => {
    const id = await (async () => {
      const proposed = await post(await as('dora', 'dpo'), '/actions', erasure(await somebody('r-bbbbbbbbbbbbbbbbbbbbbbbbbb')));
      await post(await as('ada', 'admin'), `/actions/${proposed.id}/approve`);
      return proposed.id;
    })();
    await server.kill();
    await start();
    await eventually(async () => {
      const { body } = await (await as('cleo', 'compliance')).rest('GET', `${BASE}/actions/${id}`);
      return (body as ActionView).stage === 'carried-out' ? body : undefined;
    }, 'the erasure is carried out');
    const told = (await events()).filter(({ subject }) => subject === id);
    expect(told.map(({ type, role }) => `${type} ${role}`)).toEqual([
      'ActionProposed dpo',
      'ActionApproved admin',
      'ActionBegun system',
      'ActionCarriedOut system',
    ]);
  });

  test('a broken glass is seen by everybody who watches, and ends when somebody closes it', async () => {
    const [olaf, dora] = [await as('olaf', 'operator'), await as('dora', 'dpo')];
    await expect(post(dora, '/break-glass', { reason: 'curious', minutes: 5 })).rejects.toThrow('403 FORBIDDEN');
    await expect(post(olaf, '/break-glass', { reason: 'an outage', minutes: 61 })).rejects.toThrow('400 BAD_INPUT');
    const glass = await post(olaf, '/break-glass', { reason: 'an outage', minutes: 5 });
    const open = async (): Promise<readonly object[]> =>
      ((await dora.rest('GET', `${BASE}/break-glass`)).body as { readonly open: readonly object[] }).open;
    expect(await open()).toMatchObject([{ id: glass.id }]);
    expect(await (await fetch(`${server.url}/metrics`)).text()).toContain('fabula_break_glass_open 1');
    await post(dora, `/break-glass/${glass.id}/close`);
    expect(await open()).toEqual([]);
  });
});
