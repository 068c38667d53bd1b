import { graphqlClient, type Operation } from './graphql-client.js';
import { Problem } from './problem.js';

const question: Operation<{ readonly answer: number }, { readonly id: string }> = { document: 'query($id: ID!) { answer(id: $id) }' };

interface Sent {
  readonly authorization: string | null;
  readonly body: unknown;
}
function client(answers: readonly (Response | Error)[], clock: { now: number } = { now: 0 }) {
  const sent: Sent[] = [];
  const refusedTokens: string[] = [];
  let token = 'first';
  let next = 0;
  const answered = graphqlClient({
    fetch: async (_url, init) => {
      sent.push({ authorization: new Headers(init?.headers).get('authorization'), body: JSON.parse(String(init?.body)) });
      const answer = answers[next++];
      if (!(answer instanceof Response)) throw answer ?? new Error('nothing more to answer');
      return answer;
    },
    tokens: {
      token: async () => token,
      refused: () => {
        refusedTokens.push(token);
        token = 'second';
      },
    },
    now: () => clock.now,
  });
  return { ...answered, sent, refusedTokens };
}
const json = (body: unknown, init?: ResponseInit): Response => new Response(JSON.stringify(body), init);
const refusal = (extensions: object): Response => json({ data: null, errors: [{ message: 'no', extensions }] });
const problemOf = async (run: Promise<unknown>): Promise<Problem> => {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Problem)) throw new Error(`no problem but ${String(error)}`);
  return error;
};

describe('the GraphQL client', () => {
  it('sends the document with its variables and the token, and hands back the data', async () => {
    const { run, sent } = client([json({ data: { answer: 7 } })]);
    expect(await run(question, { id: 'x' })).toEqual({ answer: 7 });
    expect(sent).toEqual([{ authorization: 'Bearer first', body: { query: question.document, variables: { id: 'x' } } }]);
  });

  it('says what the server said: code, whether to try again, and the rest of the extensions', async () => {
    const problem = await problemOf(client([refusal({ code: 'TURN_STALE', retryable: true, turn: 4 })]).run(question, { id: 'x' }));
    expect([problem.code, problem.retryable, problem.extensions['turn']]).toEqual(['TURN_STALE', true, 4]);
  });

  it('asks once more with a new token when the old one was refused, and not a third time', async () => {
    const refused = () => refusal({ code: 'UNAUTHENTICATED', retryable: false });
    const mended = client([refused(), json({ data: { answer: 1 } })]);
    expect(await mended.run(question, { id: 'x' })).toEqual({ answer: 1 });
    expect(mended.sent.map(({ authorization }) => authorization)).toEqual(['Bearer first', 'Bearer second']);
    const hopeless = client([refused(), refused()]);
    expect((await problemOf(hopeless.run(question, { id: 'x' }))).code).toBe('UNAUTHENTICATED');
    expect(hopeless.sent).toHaveLength(2);
  });

  it('calls an unreachable server, a cut answer and a slow one worth another try', async () => {
    const cut = new Response('{"data": ');
    const slow = new DOMException('late', 'TimeoutError');
    const seen = [];
    for (const answer of [new TypeError('fetch failed'), cut, slow as unknown as Error]) {
      const { code, retryable } = await problemOf(client([answer]).run(question, { id: 'x' }));
      seen.push([code, retryable]);
    }
    expect(seen).toEqual([
      ['NETWORK', true],
      ['NETWORK', true],
      ['TIMEOUT', true],
    ]);
  });

  it('reads problem details where there is no GraphQL answer', async () => {
    const overloaded = json({ code: 'OVERLOADED', title: 'Busy', retryable: true }, { status: 503 });
    const { code, retryable } = await problemOf(client([overloaded]).run(question, { id: 'x' }));
    expect([code, retryable]).toEqual(['OVERLOADED', true]);
  });

  it('follows the server’s clock, so that a deadline means the same on a computer that is wrong by an hour', async () => {
    const clock = { now: Date.parse('2030-01-01T12:00:00Z') };
    const headers = { date: 'Tue, 01 Jan 2030 11:00:00 GMT' };
    const { run, serverNow } = client([json({ data: { answer: 1 } }, { headers })], clock);
    await run(question, { id: 'x' });
    clock.now += 10_000;
    expect(new Date(serverNow()).toISOString()).toBe('2030-01-01T11:00:10.500Z');
  });
});
