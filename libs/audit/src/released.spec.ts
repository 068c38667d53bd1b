import { sha256Hex } from '#lib/canonical';
import type { Releases } from '#lib/log';
import { Auditor } from './auditor.js';
import type { Leaf } from './leaf.js';
import { MemoryAuditStore } from './memory/memory-audit-store.js';
import { rebuildTrees } from './rebuild.js';
import { audited, streamed, testSigner } from './testing/audited.js';
import { verifyBundle } from './bundle/verify-bundle.js';
import { verifyStore } from './verify-store.js';

const timers = { after: () => () => undefined };
const FUTURE = Buffer.from('{"v":2}');
const { vkey } = testSigner.verifier;

describe('A record of a newer Fabula that an operator released', () => {
  it('has a leaf that says so; trees, rebuilds, the verification of the store and offline verifiers agree on it', async () => {
    const made = audited(77, { partitions: 1 });
    await made.round(5);
    const place = await made.log.end(0);
    await made.log.append(0, [{ key: 'x', value: FUTURE }]);
    await made.writer.batch(7);
    const releases: Releases = {
      has: async (partition, offset, digest) => partition === 0 && offset === place && digest === sha256Hex(FUTURE),
    };
    const { log, store } = made;
    await expect(new Auditor({ log, store, timers }).catchUp(0)).rejects.toMatchObject({ code: 'UNKNOWN_ENVELOPE' });
    const head = await new Auditor({ log, store, timers, releases }).catchUp(0);
    expect(head.nextOffset).toBe(await log.end(0));
    await made.sign();

    const leaves: Leaf[] = [];
    for await (const page of store.leaves('p0', 0n, head.size)) {
      for (const { bytes } of page.leaves) leaves.push(JSON.parse(bytes.toString('utf8')) as Leaf);
    }
    const leaf = leaves.find(({ offset }) => offset === String(place));
    expect(leaf).toMatchObject({ verdict: 'invalid', reason: 'released', record: sha256Hex(FUTURE) });
    expect(leaf?.envelope).toBeUndefined();
    expect(leaves.filter(({ verdict, offset }) => verdict === 'accepted' && Number(offset) > place).length).toBeGreaterThan(2);

    const bundle = await verifyBundle(streamed(await made.bundle()), { vkey });
    expect([bundle.ok, bundle.findings]).toEqual([true, []]);
    const verified = await verifyStore({ store, vkey, log, releases });
    expect([verified.ok, verified.findings]).toEqual([true, []]);
    // Without the release the log does not give these leaves: the release is primary data.
    expect((await verifyStore({ store, vkey, log })).ok).toBe(false);

    const [rebuilt] = await rebuildTrees({ store, log, timers, releases });
    expect(rebuilt).toEqual(head);
    const other = new MemoryAuditStore();
    expect(await new Auditor({ log, store: other, timers, releases }).catchUp(0)).toEqual(head);
  });

  it('is asked about only at its own place, and by the digest of its bytes', async () => {
    const made = audited(78, { partitions: 1 });
    await made.round(3);
    await made.log.append(0, [{ key: 'x', value: FUTURE }]);
    const asked: string[] = [];
    const releases: Releases = { has: async (partition, offset, digest) => asked.push(`${partition}/${offset} ${digest}`) < 0 };
    const store = new MemoryAuditStore();
    await expect(new Auditor({ log: made.log, store, timers, releases }).catchUp(0)).rejects.toMatchObject({ code: 'UNKNOWN_ENVELOPE' });
    expect(new Set(asked)).toEqual(new Set([`0/${(await made.log.end(0)) - 1} ${sha256Hex(FUTURE)}`]));
  });
});
