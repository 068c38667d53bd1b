import { everyAwait } from '../../../test/support/every-await.js';
import { verified } from '../../../test/support/verification.js';
import { MemoryAuditStore } from './memory/memory-audit-store.js';
import { appending, killableWorld, looking, rotating, signing } from './testing/killable.js';

const begin = () => killableWorld(new MemoryAuditStore());

describe('an audit process killed at every call that it awaits', () => {
  const figures: Record<string, number> = {};
  afterAll(() => verified('5.4 kills of the audit at its ports', () => Promise.resolve({ ...figures })));

  it('while it appends leaves: another one builds the very tree that the log gives', async () => {
    expect((figures['appendSteps'] = await everyAwait(appending(begin)))).toBeGreaterThan(30);
  });

  it('while it signs and releases notes of growing trees: no note is ever smaller or inconsistent, and signing goes on', async () => {
    expect((figures['signAndReleaseSteps'] = await everyAwait(signing(begin)))).toBeGreaterThan(150);
  });

  it('while it tells of accesses: what was answered is kept, once and in order', async () => {
    expect((figures['accessLogSteps'] = await everyAwait(looking(begin)))).toBeGreaterThan(80);
  });

  it('while it replaces the signing key: every note that got out verifies by the policy that is kept, and the new key signs on', async () => {
    expect((figures['signingKeySteps'] = await everyAwait(rotating(begin)))).toBeGreaterThan(60);
  });
});

describe('the killing itself', () => {
  it('finds a step after which something is lost', async () => {
    const forgetful = {
      begin: () => ({ kept: [] as number[], told: [] as number[] }),
      run: async ({ kept, told }: { kept: number[]; told: number[] }, process: { port<T extends object>(name: string, target: T): T }) => {
        const disk = process.port('disk', { write: (n: number) => Promise.resolve(kept.push(n)) });
        const mouth = process.port('mouth', { say: (n: number) => Promise.resolve(told.push(n)) });
        // Said before it is kept.
        await mouth.say(1);
        await disk.write(1);
      },
      recover: () => Promise.resolve(),
      verify: ({ kept, told }: { kept: number[]; told: number[] }) => {
        if (told.some((n) => !kept.includes(n))) throw new Error('said, but not kept');
        return Promise.resolve();
      },
    };
    await expect(everyAwait(forgetful)).rejects.toThrow('killed at step 1 of 4, after mouth.say: said, but not kept');
  });
});
