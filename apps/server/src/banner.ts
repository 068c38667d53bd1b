import { USER_ROLES, type DevelopmentIssuer } from '#lib/platform';

/** What somebody who has just typed `npm start` wants to see. */
export async function banner(url: string, issuer: DevelopmentIssuer | undefined, seconds: string): Promise<string> {
  const lines = ['', `  Fabula is ready (${seconds} s)`, '', `  play        ${url}/play`];
  if (issuer !== undefined) lines.push(`  GraphiQL    ${url}/graphiql`);
  lines.push(`  GraphQL     ${url}/graphql`, `  REST        ${url}/admin/openapi.json`, `  health      ${url}/health/ready`);
  if (issuer !== undefined) {
    lines.push('', '  DEVELOPMENT TOKENS: anybody on this machine who can read the data directory can make any role. One day each:');
    for (const role of USER_ROLES) lines.push(`  ${role.padEnd(11)} ${await issuer.mintToken({ sub: `local-${role}`, roles: [role] })}`);
  }
  lines.push('', '  Ctrl-C stops everything; starting again goes on with the same data.', '');
  return lines.join('\n');
}
