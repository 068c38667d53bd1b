/**
 * What a test needs from the machine. Absent: the tests are skipped and their name says why; absent although
 * `FABULA_TEST_REQUIRE` lists it: they fail instead, so that CI cannot skip silently.
 */
export function describeWith(requirement: string, available: boolean, why: string, title: string, body: () => void): void {
  if (available) {
    describe(title, body);
    return;
  }
  const required = (process.env['FABULA_TEST_REQUIRE'] ?? '').split(',').includes(requirement);
  describe(title, () => {
    if (required) {
      it(`needs ${requirement}`, () => {
        throw new Error(`FABULA_TEST_REQUIRE names ${requirement}, but ${why}`);
      });
    } else {
      it.skip(`skipped: ${why}`, () => undefined);
    }
  });
}

export const isLong = process.env['FABULA_TEST_LONG'] !== undefined;
