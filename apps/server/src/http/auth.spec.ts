import type { Identity, TokenVerifier } from '#lib/platform';
import { Authenticator } from './auth.js';

const identity = (subject: string): Identity => ({ subject, roles: new Set(['reader']), expiresAt: 1_000 });

describe('who stands behind a token', () => {
  it('is remembered, until that person is forgotten: then the same token is somebody new, and nobody else is asked again', async () => {
    const asked: string[] = [];
    const verifier: TokenVerifier = { verify: async (token) => identity(token) };
    const pseudonyms = new Map([
      ['ada', 'r-1'],
      ['bob', 'r-2'],
    ]);
    const authenticator = new Authenticator(
      verifier,
      async (subject) => {
        asked.push(subject);
        return pseudonyms.get(subject) ?? '';
      },
      () => 0,
    );
    for (const token of ['ada', 'ada', 'bob']) await authenticator.authenticate(token);
    expect(asked).toEqual(['ada', 'bob']);
    pseudonyms.set('ada', 'r-3');
    authenticator.forget('r-1');
    expect((await authenticator.authenticate('ada')).actor).toBe('r-3');
    expect((await authenticator.authenticate('bob')).actor).toBe('r-2');
    expect(asked).toEqual(['ada', 'bob', 'ada']);
  });

  it('is not remembered when somebody was forgotten while the token was looked at', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let pseudonym = 'r-old';
    const authenticator = new Authenticator(
      { verify: async (token) => identity(token) },
      async () => {
        const answer = pseudonym;
        await held;
        return answer;
      },
      () => 0,
    );
    const onItsWay = authenticator.authenticate('ada');
    // The old pseudonym was read by now; the erasure comes before the answer.
    await new Promise((resolve) => setImmediate(resolve));
    pseudonym = 'r-new';
    authenticator.forget('r-old');
    release();
    expect((await onItsWay).actor).toBe('r-old');
    expect((await authenticator.authenticate('ada')).actor).toBe('r-new');
  });
});
