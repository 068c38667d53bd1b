import { USER_ROLES, type DevelopmentIssuer } from '#lib/platform';
import { banner } from './banner.js';

describe('what `npm start` prints', () => {
  it('has a development token for every role that a user can have', async () => {
    const issuer = { mintToken: async ({ sub, roles }: { sub: string; roles: readonly string[] }) => `token-of-${sub}-${roles.join()}` };
    const printed = await banner('http://localhost:1', issuer as unknown as DevelopmentIssuer, '1.0');
    expect(printed.split('\n').filter((line) => line.includes('token-of-'))).toEqual(
      USER_ROLES.map((role) => `  ${role.padEnd(11)} token-of-local-${role}-${role}`),
    );
    expect(await banner('http://localhost:1', undefined, '1.0')).not.toContain('TOKENS');
  });
});
