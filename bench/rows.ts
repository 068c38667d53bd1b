import type { Row } from './row.js';

/** Every row, by the name that `--rows` takes, in the order they are run. Loaded only where it runs: each has a process of its own. */
export const rows: { readonly [name: string]: { readonly about: string; readonly load: () => Promise<Row> } } = {
  commands: {
    about: 'commands through the engine on the Postgres log, and their p99',
    load: async () => (await import('./rows/commands.js')).commands,
  },
};
