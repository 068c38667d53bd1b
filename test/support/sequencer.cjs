// Spec files in the order that ends soonest on several workers: those that start servers take longest, so none of them is begun last.
const Sequencer = require('@jest/test-sequencer').default;

module.exports = class extends Sequencer {
  /** Within a kind jest's own order: failed before, longest, largest. */
  sort(tests) {
    const kind = ({ path }) => (path.endsWith('.e2e.ts') ? 0 : path.endsWith('.int.spec.ts') ? 1 : 2);
    return super.sort(tests).sort((a, b) => kind(a) - kind(b));
  }
};
