import type { ServerProcess } from '../support/server-process.js';

/** What a server said of itself as going wrong: nothing of this may appear while readers merely play or attack. */
export function complaintsOf(server: ServerProcess): readonly string[] {
  return server
    .output()
    .split('\n')
    .filter((line) => /"level":"(error|fatal)"|INTERNAL|unhandled/i.test(line));
}
