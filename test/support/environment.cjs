// Node's environment, which takes away after each spec file what would make the next ones in the same process slower.
const { AsyncLocalStorage } = require('node:async_hooks');
const { TestEnvironment } = require('jest-environment-node');

/*
 * jest-circus makes a storage for each spec file and never disables it. In Node 20 every promise of the process is handed to every storage
 * that is enabled: after a hundred files a promise was several times as dear as in the first.
 */
const enabled = new Set();
for (const method of ['run', 'enterWith']) {
  const original = AsyncLocalStorage.prototype[method];
  AsyncLocalStorage.prototype[method] = function (...args) {
    enabled.add(this);
    return original.apply(this, args);
  };
}

module.exports = class extends TestEnvironment {
  async teardown() {
    await super.teardown();
    for (const storage of enabled) storage.disable();
    enabled.clear();
  }
};
