import { Problem } from './problem.js';
import { browserTokens, HOST_TOKEN_KEY } from './token.js';

function browser(given: { readonly host?: string; readonly status?: number } = {}) {
  const stored = new Map<string, string>();
  const asked: string[] = [];
  const clock = { now: 0 };
  const tokens = browserTokens({
    fetch: async (url) => {
      asked.push(String(url));
      return new Response(JSON.stringify({ token: `t${asked.length}`, expiresAt: clock.now + 600_000 }), { status: given.status ?? 200 });
    },
    local: { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => void stored.set(key, value) },
    session: { getItem: (key) => (key === HOST_TOKEN_KEY ? (given.host ?? null) : null) },
    now: () => clock.now,
    newName: () => 'reader-1',
  });
  return { tokens, asked, clock, stored };
}

describe('the token of a browser', () => {
  it('is the host page’s when there is one', async () => {
    const { tokens, asked } = browser({ host: 'from-host' });
    expect(await tokens.token()).toBe('from-host');
    expect(asked).toEqual([]);
  });

  it('comes once from the development issuer, for a name that stays', async () => {
    const { tokens, asked, stored } = browser();
    expect(await Promise.all([tokens.token(), tokens.token()])).toEqual(['t1', 't1']);
    expect(asked).toEqual(['/play/token?reader=reader-1']);
    expect([...stored]).toEqual([['fabula.reader', 'reader-1']]);
  });

  it('is renewed before it ends, and after it was refused', async () => {
    const { tokens, clock } = browser();
    await tokens.token();
    clock.now = 539_000;
    expect(await tokens.token()).toBe('t1');
    clock.now = 541_000;
    expect(await tokens.token()).toBe('t2');
    tokens.refused();
    expect(await tokens.token()).toBe('t3');
  });

  it('is a plain problem when nobody issues one', async () => {
    await expect(browser({ status: 404 }).tokens.token()).rejects.toEqual(
      new Problem('UNAUTHENTICATED', 'the issuer of tokens answered 404', false),
    );
  });
});
