import path from 'node:path';
import type { Scenario } from '../../../test/support/every-await.js';
import { CUTS, KillableDisk } from '../../../test/support/killable-disk.js';
import { isLong } from '../../../test/support/requirement.js';
import { verified } from '../../../test/support/verification.js';
import type { KeptKey } from './keys/kept-keys.js';
import { makeNextKey, openSigningKeys, settleSigningKeys } from './keys/signing-key.js';
import type { LogName } from './log-name.js';
import { MemoryAuditStore } from './memory/memory-audit-store.js';
import { DirectoryNoteKeeper } from './note-keeper.js';
import { audited, testSigner } from './testing/audited.js';
import { atRest, killableWorld, signing, type KillableWorld } from './testing/killable.js';
import { mirrorTiles } from './tiles/mirror.js';
import { Tiles } from './tiles/tiles.js';
import { openTrustedNote, type CheckpointNote } from './tlog/index.js';
import { NoteCopies } from './witness/note-copies.js';
import { openWitnessKey, WitnessDirectory } from './witness/witness-directory.js';

/** Of all calls; every one in the long form. */
const sample = (every: number): number => (isLong ? 1 : every);
const NEVER = new AbortController().signal;
const disk = new KillableDisk();
const at = (...names: readonly string[]): string => path.join(disk.root, ...names);
const noteOf = (text: string): CheckpointNote => openTrustedNote(text, [{ verifier: testSigner.verifier }]);
function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

beforeAll(() => disk.mount());
afterAll(() => disk.unmount());

describe('the disk in memory', () => {
  const scenario = (flushed: readonly ('file' | 'folder')[]) => ({
    begin: () => ({ said: false }),
    run: async (world: { said: boolean }) => {
      const { open, rename, stat } = jest.requireActual<typeof import('node:fs/promises')>('node:fs/promises');
      const handle = await open(at('a.next'), 'w');
      await handle.writeFile('all of it');
      if (flushed.includes('file')) await handle.sync();
      await handle.close();
      await rename(at('a.next'), at('a'));
      if (flushed.includes('folder')) {
        const folder = await open(disk.root, 'r');
        await folder.sync();
        await folder.close();
      }
      world.said = true;
      await stat(at('a'));
    },
    recover: () => Promise.resolve(),
    verify: ({ said }: { said: boolean }) => {
      const text = disk.files().get(at('a'))?.toString();
      must(text === undefined ? !said : text === 'all of it', said ? `said, and there is ${text}` : `there is "${text}"`);
      return Promise.resolve();
    },
  });

  it('loses what was not flushed, and nothing else', async () => {
    await expect(disk.everyLoss(scenario([]))).rejects.toThrow('names lost, killed at step');
    await expect(disk.everyLoss(scenario(['file']))).rejects.toThrow('names lost, killed at step');
    await expect(disk.everyLoss(scenario(['folder']))).rejects.toThrow(
      'names lost, killed at step 11 of 16, after file.sync: there is "all "',
    );
    expect(await disk.everyLoss(scenario(['file', 'folder']))).toBe(18);
  });
});

describe('a process killed at each call to its files, also with the power', () => {
  const figures: Record<string, number> = {};
  afterAll(() => verified('5.4 kills at calls to files', () => Promise.resolve({ ...figures, lossesEach: CUTS.length })));

  it('while it keeps notes outside the store: what was released is kept, and none is ever smaller or torn', async () => {
    interface World extends KillableWorld {
      readonly reopen: () => void;
    }
    const opened = (): DirectoryNoteKeeper => new DirectoryNoteKeeper(at('data', 'audit-notes', 'log-1'));
    const holds = async ({ released }: KillableWorld): Promise<void> => {
      const keeper = opened();
      for (const log of new Set(released.map((one) => one.log))) {
        const kept = await keeper.newest(log);
        const last = released.findLast((one) => one.log === log) as KillableWorld['released'][number];
        must(kept !== undefined && noteOf(kept).size >= noteOf(last.note).size, `${log}: released, but not kept any more`);
      }
    };
    const begin = async (): Promise<World> => {
      const world = await killableWorld(new MemoryAuditStore(), { partitions: 1 });
      let keeper = opened();
      const keep = async (log: LogName, note: string): Promise<void> => {
        await keeper.keep(log, note);
        world.released.push({ log, note });
      };
      const reopen = (): void => void (keeper = opened());
      return { ...world, reopen, keeper: { newest: (log) => keeper.newest(log), keep } };
    };
    const scenario = signing(begin) as Scenario<World>;
    const steps = await disk.everyLoss<World>(
      {
        ...scenario,
        inspect: async (world) => {
          world.reopen();
          await scenario.inspect?.(world);
          await holds(world);
        },
        verify: async (world) => {
          await atRest(world);
          await holds(world);
        },
      },
      sample(61),
    );
    figures['notesKeptOutside'] = steps;
    expect(steps).toBeGreaterThan(150);
  });

  it('while it makes and replaces its signing key: the key that the store names is always at hand, and an old one ends up nowhere', async () => {
    const [file, name] = [at('data', 'audit-signing.key'), testSigner.name];
    interface World {
      /** What the store says. */
      readonly kept: KeptKey[];
      /** The private halves, as the process that made them knew them. */
      readonly secrets: string[];
    }
    const announced = (world: World, vkey: string, skey: string): void => {
      world.kept.push({ vkey, since: {}, until: null, announcedAt: world.kept.length * 1_000 });
      world.secrets.push(skey);
    };
    const run = async (world: World): Promise<void> => {
      const { signers } = await openSigningKeys(file, name);
      if (world.kept.length === 0) announced(world, signers[0]?.verifier.vkey ?? '', signers[0]?.skey ?? '');
      if (world.kept.length === 1) {
        const next = signers[1] ?? (await makeNextKey(file));
        announced(world, next.verifier.vkey, next.skey);
      }
      // Both sign for a while, then the new one alone.
      await settleSigningKeys(file, name, world.kept, 1_500, 1_000);
      await settleSigningKeys(file, name, world.kept, 9_000, 1_000);
    };
    const steps = await disk.everyLoss<World>(
      {
        begin: () => ({ kept: [], secrets: [] }),
        run,
        inspect: async ({ kept }) => {
          const current = kept.at(-1)?.vkey;
          const { signers } = await openSigningKeys(file, name);
          must(current === undefined || signers.some(({ verifier }) => verifier.vkey === current), 'the current key is lost');
        },
        recover: run,
        verify: async ({ kept, secrets }) => {
          const { signers, former } = await openSigningKeys(file, name);
          must(signers.length === 1 && signers[0]?.verifier.vkey === kept[1]?.vkey, 'another key than the new one signs');
          must(former.length === 1 && former[0]?.vkey === kept[0]?.vkey, 'the old key is not known any more');
          for (const [where, content] of disk.files()) must(!content.includes(secrets[0] as string), `the old private key is in ${where}`);
        },
      },
      sample(13),
    );
    figures['signingKeys'] = steps;
    expect(steps).toBeGreaterThan(60);
  });

  it('while it cosigns as a witness: nothing that it answered is forgotten, neither note nor key', async () => {
    const [directory, keyFile, origin] = [at('witness', 'notes'), at('witness', 'key'), 'fabula.test/audit/log-1/root'];
    const notes = ['one', 'two', 'three'].map((note) => `${note}\n`);
    interface World {
      readonly answered: string[];
      key: string | undefined;
    }
    const holds = async ({ answered, key }: World): Promise<void> => {
      const last = answered.at(-1);
      const found = (await WitnessDirectory.open(directory, [origin])).latest(origin);
      must(
        found === undefined ? last === undefined : notes.indexOf(found) >= (last === undefined ? 0 : notes.indexOf(last)),
        `found ${found}`,
      );
      if (key !== undefined) must((await openWitnessKey(keyFile, 'witness.test/one')).skey === key, 'the key is another one');
    };
    const run = async (world: World): Promise<void> => {
      const cosigner = await openWitnessKey(keyFile, 'witness.test/one');
      const state = await WitnessDirectory.open(directory, [origin]);
      world.key = cosigner.skey;
      for (const note of notes.slice(notes.indexOf(state.latest(origin) ?? '') + 1)) {
        await state.keep(origin, note);
        world.answered.push(note);
      }
    };
    const steps = await disk.everyLoss<World>(
      {
        begin: () => ({ answered: [], key: undefined }),
        run,
        inspect: holds,
        recover: run,
        verify: async (world) => {
          await holds(world);
          must((await WitnessDirectory.open(directory, [origin])).latest(origin) === notes[2], 'not all notes are kept');
        },
      },
      sample(4),
    );
    figures['witness'] = steps;
    expect(steps).toBeGreaterThan(50);
  });

  it('while it copies notes to another folder: each lies there whole in the end, and none is taken for another history', async () => {
    const honest = audited(81, { partitions: 1 });
    await honest.round(4);
    const half = (await honest.store.latestNotes(honest.logId)).map(({ log }) => log);
    await honest.round(4);
    const [directory, folder] = [at('mount', 'copies'), path.join(at('mount', 'copies'), honest.logId)];
    const round = async (logs: readonly LogName[]): Promise<string | null> => {
      const copies = new NoteCopies({
        ...{ store: honest.store, logId: honest.logId, directory, memory: at('memory'), intervalMs: 1, onProblem: () => undefined },
        logs: () => Promise.resolve(logs),
        cosigned: () => Promise.resolve(undefined),
        timers: { after: () => () => undefined },
      });
      await copies.round(NEVER);
      return copies.problem;
    };
    const steps = await disk.everyLoss(
      {
        begin: async () => {
          const { mkdir, open } = jest.requireActual<typeof import('node:fs/promises')>('node:fs/promises');
          await mkdir(directory, { recursive: true });
          for (const one of [disk.root, path.dirname(directory)]) await (await open(one, 'r')).sync();
          return {};
        },
        run: async () => {
          const problem = await round(half);
          if (problem !== null) throw new Error(problem);
        },
        recover: async () => {
          const problem = await round(['p0', 'root']);
          must(problem === null, String(problem));
        },
        verify: async () => {
          const lying = disk.files();
          for (const log of ['p0', 'root'] as const)
            for (const { size, note } of await honest.store.notes(log, honest.logId, -1n, 1_000)) {
              const files = ['.note', '.whole.note'].map((suffix) => lying.get(path.join(folder, log, `${size}${suffix}`))?.toString());
              must(files.includes(note), `the note of ${log} of size ${size} is not there`);
            }
        },
      },
      sample(2),
    );
    figures['copiesOfNotes'] = steps;
    expect(steps).toBeGreaterThan(60);
  });

  it('while it mirrors tiles: the next run goes on, and every tile is the log’s own', async () => {
    const grown = audited(82, { partitions: 1 });
    while ((await grown.store.open('p0', grown.logId)).size < 300n) await grown.round(20);
    const tiles = new Tiles(grown.store, grown.logId);
    const early = (await grown.store.notes('p0', grown.logId, 0n, 1_000))[5]?.note ?? '';
    const late = (await grown.store.latestNote('p0', grown.logId))?.note ?? '';
    const directory = at('mirror');
    const mirror = (checkpoint: string) =>
      mirrorTiles({
        ...{ directory, keys: [{ verifier: testSigner.verifier }], origin: noteOf(late).origin },
        checkpoint: () => Promise.resolve(checkpoint),
        tile: (name) => tiles.read('p0', name),
      });
    const lying = (): CheckpointNote | undefined => {
      const text = disk.files().get(at('mirror', 'checkpoint'))?.toString();
      return text === undefined ? undefined : noteOf(text);
    };
    let answered: bigint;
    const steps = await disk.everyLoss(
      {
        begin: () => {
          answered = 0n;
          return {};
        },
        run: async () => {
          for (const note of [early, late]) {
            await mirror(note);
            answered = noteOf(note).size;
          }
        },
        inspect: async () => must((lying()?.size ?? 0n) >= answered, 'a smaller note lies there than was mirrored'),
        recover: async () => void (await mirror(late)),
        verify: async () => {
          must(lying()?.size === noteOf(late).size, 'not all is mirrored');
          for (const [file, content] of disk.files()) {
            const name = path.relative(directory, file);
            if (!name.startsWith('tile/') || name.endsWith('.next')) continue;
            const own = await tiles.read('p0', name);
            must(own?.equals(content) === true, `${name} is not the log’s`);
          }
        },
      },
      sample(19),
    );
    figures['tilesMirrored'] = steps;
    expect(steps).toBeGreaterThan(60);
  });
});
