import * as fc from 'fast-check';
import { ConfigError, configurationReference, loadConfig } from './config.js';
import { settings } from './settings.js';

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('the configuration', () => {
  test('is complete and frozen without any variable', () => {
    const config = loadConfig({});
    expect(config).toMatchObject({
      port: 8080,
      host: '127.0.0.1',
      dataDir: './.fabula',
      log: 'postgres',
      partitions: 4,
      production: false,
    });
    expect(config.databaseUrl).toBeUndefined();
    expect(config.roles).toEqual(['api', 'engine', 'projector', 'auditor', 'signer', 'publisher']);
    expect(Object.isFrozen(config) && Object.isFrozen(config.roles)).toBe(true);
  });

  test('takes values from the environment, and an empty variable as not set', () => {
    const config = loadConfig({ PORT: '0', FABULA_ROLES: 'api, engine,api', DATABASE_URL: '', FABULA_SAMPLE_STORIES: 'off', HOME: '/x' });
    expect(config).toMatchObject({ port: 0, roles: ['api', 'engine'], sampleStories: false });
    expect(config.databaseUrl).toBeUndefined();
  });

  test('lets the names of the command line pass, since people export them for every process', () => {
    expect(problemsOf({ FABULA_URL: 'http://127.0.0.1:8080', FABULA_TOKEN: 'x' })).toEqual([]);
    expect(configurationReference()).toContain('`FABULA_TOKEN`');
  });

  test('refuses a mistyped name and says the nearest one, but lets test names and foreign names pass', () => {
    expect(problemsOf({ FABULA_PARTITION: '4' })).toEqual(['FABULA_PARTITION is not a setting; the nearest is FABULA_PARTITIONS']);
    expect(problemsOf({ FABULA_DATADIR: 'x' })).toEqual(['FABULA_DATADIR is not a setting; the nearest is FABULA_DATA_DIR']);
    expect(problemsOf({ FABULA_TEST_LONG: '1', FABULA_STORIES_DIR: '../x', PATHS: 'y' })).toEqual([]);
  });

  test('names every problem at once', () => {
    const problems = problemsOf({ PORT: '70000', FABULA_PARTITIONS: '0', FABULA_LOG: 'files', FABULA_ROLES: 'api,cook', HOSTS: 'x' });
    expect(problems.map((problem) => problem.split(/[= ]/)[0]).sort()).toEqual(['FABULA_LOG', 'FABULA_PARTITIONS', 'FABULA_ROLES', 'PORT']);
  });

  test.each([
    [{ FABULA_LOG: 'kafka' }, /KAFKA_BROKERS/],
    [{ FABULA_LOG: 'eventstoredb' }, /EVENTSTOREDB_URL/],
    [{ AUTH_ISSUER: 'https://issuer.example' }, /AUTH_AUDIENCE/],
    [{ AUTH_JWKS_URI: 'https://issuer.example/keys' }, /AUTH_ISSUER/],
    [{ KAFKA_SASL_MECHANISM: 'plain' }, /KAFKA_SASL_USERNAME/],
    [{ NODE_ENV: 'production' }, /development issuer/],
  ] as const)('refuses the contradiction %j', (env, expected) => {
    expect(problemsOf(env).join()).toMatch(expected);
  });

  test('never repeats a secret, however wrong it is', () => {
    expect(problemsOf({ DATABASE_URL: 'mysql://root:hunter2@db/x' }).join()).toMatch(/^DATABASE_URL is wrong(?!.*hunter2)/);
  });

  test('whatever the variables hold, it is a configuration or a list of problems', () => {
    const names = Object.values(settings).map((setting) => setting.name);
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), fc.string()), (env) => {
        try {
          expect(loadConfig(env).partitions).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('its reference lists every setting with its default', () => {
    const reference = configurationReference();
    for (const setting of Object.values(settings)) {
      expect(reference).toContain(`## ${setting.name}\n`);
      if (setting.default !== undefined) expect(reference).toContain(`\`${setting.default}\``);
    }
  });
});
