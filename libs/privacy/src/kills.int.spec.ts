import path from 'node:path';
import { everyAwait, type Process } from '../../../test/support/every-await.js';
import { CUTS, KillableDisk } from '../../../test/support/killable-disk.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { isLong } from '../../../test/support/requirement.js';
import { verified } from '../../../test/support/verification.js';
import { Eraser } from './eraser.js';
import { FileKeyEncryption } from './file-key-encryption.js';
import { KekRotation } from './kek-rotation.js';
import { Keyring } from './keyring.js';
import { PostgresPseudonyms } from './postgres-pseudonyms.js';
import { PostgresSubjectKeys } from './postgres-subject-keys.js';
import { newPseudonym } from './pseudonyms.js';
import { Sealer, type Sealed } from './sealer.js';

/** Of all steps; every one in the long form. */
const sample = (every: number): number => (isLong ? 1 : every);
const NEVER = new AbortController().signal;
const disk = new KillableDisk();
const place = path.join(disk.root, 'data', 'keks');
const figures: Record<string, number> = {};

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  disk.mount();
});
afterAll(async () => {
  disk.unmount();
  await database.drop();
  await verified('5.4 kills while keys are destroyed and wrapped anew', () => Promise.resolve({ ...figures }));
});

/** What one process has of people and keys; killed, its session ends and its files stay as they are. */
function opened(process?: Process) {
  const pool = process?.pool(database.pool) ?? database.pool;
  const keyring = new Keyring(pool, new FileKeyEncryption(place));
  const keys = new PostgresSubjectKeys(pool, keyring);
  const table = new PostgresPseudonyms(pool, () => keyring.open());
  return { pool, keyring, keys, table, sealer: new Sealer(keys), rotation: new KekRotation(pool, keyring) };
}
/** A database and a disk on which nobody ever was. */
async function fresh() {
  for (const table of ['subject_keys', 'subjects', 'forgotten', 'index_key', 'keks'])
    await database.pool.query(`delete from fabula_keys.${table}`);
  disk.clear();
  const first = opened();
  await first.keyring.open();
  return first;
}
function must(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

describe('a process killed at each statement and at each call to its files', () => {
  it('while it wraps all keys anew: every text is readable at any moment, the next one ends it, and the old key is nowhere', async () => {
    interface World {
      readonly order: { readonly from: string; readonly to: string };
      readonly old: string;
      readonly texts: ReadonlyMap<string, Sealed>;
      readonly person: string;
    }
    const readable = async ({ texts, person }: World): Promise<void> => {
      const { sealer, table } = opened();
      for (const [subject, sealed] of texts) must((await sealer.unseal(subject, sealed)) === `of ${subject}`, `${subject} cannot be read`);
      must((await table.find('i', 'person')) === person, 'a person is not recognised');
    };
    const steps = await disk.everyLoss<World>(
      {
        begin: async () => {
          const { keyring, sealer, table } = await fresh();
          const person = await table.findOrAdd('i', 'person', newPseudonym());
          const texts = new Map<string, Sealed>();
          for (const subject of ['r-one', 'r-two']) texts.set(subject, (await sealer.seal(subject, `of ${subject}`)).sealed);
          const from = await keyring.currentId();
          const old =
            disk
              .files()
              .get(path.join(place, `${from}.kek`))
              ?.toString() ?? '';
          must(old.length > 44, 'there is no key to replace');
          return { order: { from, to: 'kek-two' }, old, texts, person };
        },
        run: async ({ order }, process) => void (await opened(process).rotation.rotate(order, NEVER)),
        inspect: readable,
        recover: async ({ order }) => {
          const done = await opened().rotation.rotate(order, NEVER);
          must(done.oldKeyDestroyed && done.keys === 2, JSON.stringify(done));
        },
        verify: async (world) => {
          await readable(world);
          must((await new FileKeyEncryption(place).ids()).join() === 'kek-two', 'other keys lie there');
          for (const [file, content] of disk.files()) must(!content.includes(world.old.trimEnd()), `the old key is in ${file}`);
        },
      },
      sample(17),
    );
    figures['rotationSteps'] = steps;
    figures['rotationLossesEach'] = CUTS.length;
    expect(steps).toBeGreaterThan(80);
  });

  it('while it forgets somebody: never a link without its key, and the next one ends it with the same result', async () => {
    interface World {
      readonly sub: string;
      readonly subject: string;
      readonly sealed: Sealed;
      readonly other: Sealed;
    }
    let count = 0;
    await fresh();
    const erase = (subject: string, process?: Process) => {
      const { keys, table } = opened(process);
      return new Eraser(keys, table, () => undefined).erase(subject);
    };
    const steps = await everyAwait<World>(
      {
        begin: async () => {
          const { table, sealer } = opened();
          const sub = `mortal ${count++}`;
          const subject = await table.findOrAdd('i', sub, newPseudonym());
          const [{ sealed }, { sealed: other }] = [await sealer.seal(subject, 'a name'), await sealer.seal('r-other', 'another')];
          return { sub, subject, sealed, other };
        },
        run: async ({ subject }, process) => void (await erase(subject, process)),
        inspect: async ({ sub, subject, sealed }) => {
          const { table, sealer } = opened();
          const [linked, text] = [(await table.find('i', sub)) !== null, await sealer.unseal(subject, sealed)];
          must(linked || text === null, 'nobody is linked to it, but it can be read');
        },
        recover: async ({ subject, sealed }) => {
          const done = await erase(subject);
          must(JSON.stringify(done) === JSON.stringify({ subject, keysDestroyed: [sealed.kid], linksCut: 1 }), JSON.stringify(done));
        },
        verify: async ({ sub, subject, sealed, other }) => {
          const { table, sealer } = opened();
          must((await sealer.unseal(subject, sealed)) === null && (await table.find('i', sub)) === null, 'something is left');
          must((await sealer.unseal('r-other', other)) === 'another', 'somebody else was forgotten too');
          must((await sealer.seal(subject, 'late').catch(() => null)) === null, 'the forgotten one gets a key again');
        },
      },
      sample(2),
    );
    figures['eraseSteps'] = steps;
    expect(steps).toBeGreaterThan(14);
  });
});
