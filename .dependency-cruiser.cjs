/** The rooms of the design: which library may import which. `canonical` is the pure base that any room may use. */
const rooms = {
  canonical: [],
  story: [],
  'story-formats': ['story'],
  decision: [],
  playthrough: ['story', 'decision'],
  authoring: ['story', 'decision'],
  compliance: ['decision'],
  platform: [],
  privacy: ['platform'],
  log: ['decision', 'platform'],
  engine: ['log', 'playthrough', 'authoring', 'compliance', 'privacy', 'decision', 'story', 'platform'],
  projections: ['log', 'playthrough', 'authoring', 'compliance', 'decision', 'story', 'platform'],
  audit: ['log', 'decision', 'privacy', 'platform'],
  feed: ['log', 'decision', 'playthrough', 'authoring', 'platform'],
};
const pure = ['canonical', 'story', 'story-formats', 'decision', 'playthrough', 'authoring', 'compliance'];
const not = (names) => Object.keys(rooms).filter((room) => !names.includes(room));

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...Object.entries(rooms).map(([room, allowed]) => ({
      name: `${room}-imports-only-${['canonical', ...allowed].join('-')}`,
      severity: 'error',
      from: { path: `^libs/${room}/`, pathNot: '\\.(spec|e2e)\\.ts$' },
      to: { path: `^libs/(${not([room, 'canonical', ...allowed]).join('|')})/` },
    })),
    {
      name: 'libs-never-import-apps',
      severity: 'error',
      from: { path: '^libs/', pathNot: '\\.(spec|e2e)\\.ts$' },
      to: { path: '^(apps|test|bench|migrations)/' },
    },
    {
      name: 'pure-rooms-do-no-io',
      severity: 'error',
      from: { path: `^libs/(${pure.join('|')})/`, pathNot: '\\.(spec|e2e)\\.ts$' },
      to: {
        path: 'node_modules/(@nestjs|pg|typeorm|kafkajs|pino|fastify)|^(node:)?(fs|net|http|https|child_process|timers|worker_threads)(/|$)',
      },
    },
    {
      name: 'tlog-has-no-dependencies',
      severity: 'error',
      from: { path: '^libs/audit/src/tlog/', pathNot: '\\.spec\\.ts$' },
      to: { pathNot: '^libs/audit/src/tlog/|^(node:)?crypto$' },
    },
    {
      name: 'rooms-are-entered-by-their-index',
      severity: 'error',
      from: { path: '^libs/([^/]+)/', pathNot: '\\.(spec|e2e)\\.ts$' },
      to: { path: '^libs/([^/]+)/src/(?!index\\.ts$)', pathNot: '^libs/$1/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['development', 'import', 'types', 'node', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.json'],
    },
  },
};
