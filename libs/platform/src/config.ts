import { z } from 'zod';
import { COMMAND_LINE_SETTINGS, settings, TEST_SETTINGS, type Setting } from './settings.js';

type Settings = typeof settings;
type ValueOf<S> = S extends { readonly read: z.ZodType<infer T, string>; readonly default: infer D }
  ? D extends string
    ? T
    : T | undefined
  : never;

/** Everything the environment decides, checked and frozen. Settings without default and value are undefined. */
export type Config = Readonly<{ [K in keyof Settings]: ValueOf<Settings[K]> }>;

/** The environment is wrong; every problem at once, no secret in it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly problems: readonly string[]) {
    super(`The configuration is wrong:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
  }
}

/**
 * Reads and checks the environment.
 * @throws ConfigError
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const problems = unknownNames(env);
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries<Setting<unknown>>(settings)) {
    // An empty variable is how shells and compose files write "not set".
    const given = env[setting.name] === '' ? undefined : env[setting.name];
    const text = given ?? setting.default;
    if (text === undefined) continue;
    const read = setting.read.safeParse(text);
    if (read.success) values[key] = typeof read.data === 'object' ? Object.freeze(read.data) : read.data;
    else
      problems.push(
        `${setting.name}${setting.secret ? '' : `=${shorten(text)}`} is wrong: ${read.error.issues.map((issue) => issue.message).join(', ')}`,
      );
  }
  // Each key was filled from the schema of the same entry, which is what Config is made of.
  const config = values as Config;
  problems.push(...contradictions(config));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config);
}

function contradictions(config: Config): string[] {
  const problems: string[] = [];
  const needs = (condition: boolean, problem: string) => {
    if (condition) problems.push(problem);
  };
  needs(config.log === 'kafka' && config.kafkaBrokers === undefined, 'FABULA_LOG=kafka needs KAFKA_BROKERS');
  needs(config.log === 'eventstoredb' && config.eventStoreDbUrl === undefined, 'FABULA_LOG=eventstoredb needs EVENTSTOREDB_URL');
  needs(
    config.kafkaSaslMechanism !== undefined && (config.kafkaSaslUsername === undefined || config.kafkaSaslPassword === undefined),
    'KAFKA_SASL_MECHANISM needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD',
  );
  needs((config.kafkaTlsCert === undefined) !== (config.kafkaTlsKey === undefined), 'KAFKA_TLS_CERT and KAFKA_TLS_KEY go together');
  needs((config.authIssuer === undefined) !== (config.authAudience === undefined), 'AUTH_ISSUER and AUTH_AUDIENCE go together');
  needs(config.authJwksUri !== undefined && config.authIssuer === undefined, 'AUTH_JWKS_URI needs AUTH_ISSUER');
  needs(
    config.production && config.authIssuer === undefined,
    'NODE_ENV=production needs AUTH_ISSUER and AUTH_AUDIENCE: the development issuer gives anybody any role',
  );
  return problems;
}

/** Typing errors must not pass for settings that were left alone. */
function unknownNames(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = [
    ...Object.values<Setting<unknown>>(settings).map((setting) => setting.name),
    ...Object.keys(COMMAND_LINE_SETTINGS),
    ...Object.keys(TEST_SETTINGS),
  ];
  return Object.keys(env)
    .filter((name) => name.startsWith('FABULA_') && !name.startsWith('FABULA_TEST_') && !known.includes(name))
    .map((name) => `${shorten(name)} is not a setting; the nearest is ${nearest(name, known)}`);
}

function nearest(name: string, known: readonly string[]): string {
  const candidates = known.map((candidate) => ({ candidate, distance: editDistance(name.slice(0, 100), candidate) }));
  return candidates.reduce((best, next) => (next.distance < best.distance ? next : best)).candidate;
}

/** Levenshtein: insertions, deletions and replacements from one name to the other. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}

/** docs/reference/configuration.md */
export function configurationReference(): string {
  const sections = Object.values<Setting<unknown>>(settings).map((setting) => {
    const lines = [
      `## ${setting.name}`,
      '',
      setting.what,
      '',
      `- **Default:** ${setting.default === undefined ? 'none' : `\`${setting.default}\``}`,
      ...(setting.raise === undefined ? [] : [`- **Raise it when:** ${setting.raise}`]),
      ...(setting.lower === undefined ? [] : [`- **Lower it when:** ${setting.lower}`]),
      ...(setting.off === undefined ? [] : [`- **Switch it off:** ${setting.off}`]),
      ...(setting.secret === undefined ? [] : ['- Secret: never printed.']),
    ];
    return lines.join('\n');
  });
  const listed = (names: Readonly<Record<string, string>>) => Object.entries(names).map(([name, what]) => `- \`${name}\`: ${what}`);
  return `# Configuration

Generated from the table of settings (\`npm run generate\`). Everything comes from the environment and is checked at start, all problems
at once. A name starting with \`FABULA_\` that is not listed here is an error; servers ignore \`FABULA_TEST_*\`.

${sections.join('\n\n')}

## Read by the command line only

${listed(COMMAND_LINE_SETTINGS).join('\n')}

## Read by tests only

${listed(TEST_SETTINGS).join('\n')}
`;
}
