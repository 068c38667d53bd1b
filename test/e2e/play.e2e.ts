import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { VersionStats } from '#lib/projections';
import { ApiClient, type PlayedPlaythrough } from '../support/api-client.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { walk } from './auto-player.js';
import { connectToEmbedded, everythingStored } from './embedded-database.js';
import { eventually, refused } from './expectations.js';
import { publishStory } from './publish-story.js';
import { complaintsOf } from './server-log.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(120_000);

describe('a reader over GraphQL', () => {
  let dataDir: string;
  let server: ServerProcess;
  let reader: ApiClient;
  let author: ApiClient;
  const seconds: string[] = [];

  const start = async (): Promise<void> => {
    const begun = performance.now();
    server = await ServerProcess.start({ dataDir });
    seconds.push(((performance.now() - begun) / 1_000).toFixed(1));
    reader = new ApiClient(server.url, await server.token(['reader'], 'reader-one'));
    author = new ApiClient(server.url, await server.token(['author'], 'author-one'));
  };
  const stats = async (storyId: string, hash: string): Promise<VersionStats> =>
    (await author.rest('GET', `/admin/stories/${storyId}/versions/${hash}/stats`)).body as VersionStats;

  beforeAll(async () => {
    dataDir = await temporaryDataDir();
    await start();
  });
  afterAll(async () => {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  test.each(['the-cloakroom', 'the-inspector-of-bells'])('plays %s from the start to an ending', async (storyId) => {
    const endings = new Set<string>();
    for (let seed = 1; seed <= 3; seed++) {
      const { start: first, steps, last } = await walk(reader, storyId, seed);
      expect(first).toMatchObject({ turn: 0, duplicate: false, playthrough: { turn: 0, status: 'ACTIVE' } });
      expect(last).toMatchObject({ status: 'ENDED', turn: steps.length });
      expect(last.moment.choices).toEqual([]);
      steps.forEach(({ answer }, index) => expect(answer).toMatchObject({ turn: index + 1, duplicate: false }));
      endings.add(last.moment.ending as string);
      const read = await reader.playthrough(last.id, [last.position]);
      expect(read).toMatchObject({ turn: last.turn, stateHash: last.stateHash, moment: last.moment });
      const over = await refused(reader.choose(last.id, 'whatever', last.turn));
      expect(over.code).toBe('PLAYTHROUGH_ENDED');
    }
    expect(endings.size).toBeGreaterThan(0);
  });

  describe('in a story with locked, hidden and timed choices', () => {
    const storyId = 'three-doors';
    let at: PlayedPlaythrough;

    beforeAll(async () => {
      await publishStory(author, threeDoors(storyId));
    });
    beforeEach(async () => {
      at = (await reader.start(storyId)).playthrough;
    });

    test('a locked choice is shown with its reason and refused with it', async () => {
      expect(at.moment.choices).toContainEqual({
        id: 'gate',
        label: 'Open the gate',
        enabled: false,
        reason: 'It is locked.',
        kind: 'NORMAL',
      });
      const { code, extensions } = await refused(reader.choose(at.id, 'gate', 0));
      expect(code).toBe('CHOICE_LOCKED');
      expect(extensions).toMatchObject({ reason: 'It is locked.', retryable: false, correlationId: expect.any(String) as string });
    });

    test('a hidden choice is as unknown as one that does not exist', async () => {
      expect(at.moment.choices.map(({ id }) => id)).toEqual(['take', 'gate', 'wait']);
      const hidden = await refused(reader.choose(at.id, 'trapdoor', 0));
      const absent = await refused(reader.choose(at.id, 'no-such', 0));
      expect([hidden.code, absent.code]).toEqual(['CHOICE_UNKNOWN', 'CHOICE_UNKNOWN']);
      expect(hidden.message.replaceAll('trapdoor', 'no-such')).toBe(absent.message);
    });

    test('a stale turn is refused with the moment as it stands now', async () => {
      const { playthrough: now } = await reader.choose(at.id, 'take', 0);
      const { code, extensions } = await refused(reader.choose(at.id, 'wait', 0));
      expect(code).toBe('TURN_STALE');
      expect(extensions).toMatchObject({ turn: 1, status: 'ACTIVE', moment: { passage: now.moment.passage } });
      const offers = (extensions['moment'] as { choices: { id: string }[] }).choices.map(({ id }) => id);
      expect(offers).toEqual(now.moment.choices.map(({ id }) => id));
    });

    test('a repeated command takes effect once and answers with its first turn and position', async () => {
      const commandId = randomUUID();
      const first = await reader.choose(at.id, 'take', 0, commandId);
      const { playthrough: later } = await reader.choose(at.id, 'wait', 1);
      const again = await reader.choose(at.id, 'take', 0, commandId.toUpperCase());
      expect(again).toMatchObject({ turn: first.turn, position: first.position, duplicate: true });
      expect(again.playthrough).toMatchObject({ turn: later.turn, stateHash: later.stateHash });
      const reused = await refused(reader.choose(at.id, 'wait', 2, commandId));
      expect(reused.code).toBe('COMMAND_REUSED');
    });

    test('a repeated start finds the same playthrough; other content under its commandId is refused', async () => {
      const commandId = randomUUID();
      const first = await reader.start(storyId, commandId);
      const again = await reader.start(storyId, commandId);
      expect(again).toMatchObject({ duplicate: true, position: first.position, playthrough: { id: first.playthrough.id } });
      expect((await refused(reader.start('the-cloakroom', commandId))).code).toBe('COMMAND_REUSED');
      const other = new ApiClient(server.url, await server.token(['reader'], 'reader-two'));
      expect((await other.start(storyId, commandId)).playthrough.id).not.toBe(first.playthrough.id);
    });

    test('a position that was answered is readable; one beyond the log is not yet visible; one of another log is refused', async () => {
      for (let turn = 0; turn < 20; turn++) {
        const answer = await reader.choose(at.id, 'wait', turn);
        expect(await reader.playthrough(at.id, [answer.position])).toMatchObject({ turn: turn + 1 });
      }
      const position = JSON.parse(Buffer.from(at.position, 'base64url').toString('utf8')) as { l: string; o: number; p: number };
      const token = (changed: object): string => Buffer.from(JSON.stringify({ ...position, ...changed })).toString('base64url');
      const beyond = await refused(reader.playthrough(at.id, [token({ o: position.o + 1_000_000 })]));
      expect(beyond.code).toBe('NOT_YET_VISIBLE');
      expect(beyond.extensions).toMatchObject({ retryable: true, retryAfterMs: expect.any(Number) as number });
      const foreign = await refused(reader.playthrough(at.id, [token({ l: randomUUID() })]));
      expect(foreign.code).toBe('BAD_INPUT');
    });

    test('history comes the latest first, in pages, with public changes only', async () => {
      let last = await reader.choose(at.id, 'take', 0);
      for (let turn = 1; turn < 7; turn++) last = await reader.choose(at.id, 'wait', turn);
      interface Page {
        playthrough: {
          history: {
            edges: { node: { turn: number; kind: string; choiceId: string; label: string; changes: object[] } }[];
            pageInfo: { hasNextPage: boolean; endCursor: string };
          };
        };
      }
      const query = `query ($id: ID!, $after: String, $seen: [Position!]) { playthrough(id: $id, minPosition: $seen) { history(first: 3, after: $after) {
        edges { cursor node { turn kind choiceId label changes { name from to } } } pageInfo { hasNextPage endCursor } } } }`;
      const turns: number[] = [];
      let after: string | null = null;
      do {
        const page: Page = await reader.data<Page>(query, { id: at.id, after, seen: [last.position] });
        const { history } = page.playthrough;
        turns.push(...history.edges.map(({ node }) => node.turn));
        const taken = history.edges.find(({ node }) => node.turn === 1)?.node;
        if (taken !== undefined)
          expect(taken).toEqual({
            turn: 1,
            kind: 'CHOICE',
            choiceId: 'take',
            label: 'Take the key',
            changes: [{ name: 'key', from: false, to: true }],
          });
        after = history.pageInfo.hasNextPage ? history.pageInfo.endCursor : null;
      } while (after !== null);
      expect(turns).toEqual([7, 6, 5, 4, 3, 2, 1, 0]);
    });

    test('own playthroughs come in pages without gaps or repeats', async () => {
      const paging = new ApiClient(server.url, await server.token(['reader'], `pages-${randomUUID()}`));
      const started: string[] = [];
      let position = '';
      for (let n = 0; n < 7; n++) {
        const answer = await paging.start(storyId);
        started.push(answer.playthrough.id);
        position = answer.position;
        await eventually(async () => ((await paging.playthrough(answer.playthrough.id)) === null ? undefined : true), 'it is readable');
      }
      interface Page {
        myPlaythroughs: { edges: { node: { id: string } }[]; pageInfo: { hasNextPage: boolean; endCursor: string } };
      }
      const query = `query ($after: String, $min: [Position!]) { myPlaythroughs(first: 3, after: $after, minPosition: $min, storyId: "${storyId}") {
        edges { node { id } } pageInfo { hasNextPage endCursor } } }`;
      const listed: string[] = [];
      let after: string | null = null;
      do {
        const page: Page = await paging.data<Page>(query, { after, min: [position] });
        const { edges, pageInfo } = page.myPlaythroughs;
        listed.push(...edges.map(({ node }) => node.id));
        after = pageInfo.hasNextPage ? pageInfo.endCursor : null;
      } while (after !== null);
      expect(listed).toEqual(started.toReversed());
    });

    test('a rewind restores the past moment under a new turn, and the way not taken is open again', async () => {
      const { playthrough: one } = await reader.choose(at.id, 'take', 0);
      const { playthrough: two } = await reader.choose(at.id, 'gate', 1);
      const back = await reader.rewind(at.id, 1, two.turn);
      expect(back).toMatchObject({ turn: 3, playthrough: { turn: 3, moment: one.moment } });
      const start = await reader.rewind(at.id, 0, 3);
      expect(start.playthrough.moment).toEqual(at.moment);
      expect((await reader.choose(at.id, 'take', 4)).turn).toBe(5);
      expect((await refused(reader.rewind(at.id, 9, 5))).code).toBe('BAD_INPUT');
    });

    test('a what-if goes its own way beside the playthrough that it left', async () => {
      await reader.choose(at.id, 'take', 0);
      const { playthrough: gone } = await reader.choose(at.id, 'gate', 1);
      const commandId = randomUUID();
      const { playthrough: whatIf, position } = await reader.fork(at.id, 1, commandId);
      expect(whatIf.id).not.toBe(at.id);
      expect(whatIf).toMatchObject({ turn: 1, moment: { passage: { id: 'hall' } } });
      expect((await reader.choose(whatIf.id, 'wait', 1)).playthrough.turn).toBe(2);
      expect(await reader.fork(at.id, 1, commandId)).toMatchObject({ duplicate: true, playthrough: { id: whatIf.id } });
      const query = 'query ($id: ID!, $min: [Position!]) { playthrough(id: $id, minPosition: $min) { forkedFrom { playthroughId turn } } }';
      expect(await reader.data(query, { id: whatIf.id, min: [position] })).toEqual({
        playthrough: { forkedFrom: { playthroughId: at.id, turn: 1 } },
      });
      expect(await reader.playthrough(at.id, [gone.position])).toMatchObject({ turn: 2, stateHash: gone.stateHash });
    });

    test('a checkpoint keeps its name readable for its reader and unreadable in the database', async () => {
      const name = `Grandmother's birthday ${randomUUID()}`;
      const set = await reader.setCheckpoint(at.id, name, 0);
      expect(set).toMatchObject({ turn: 0, duplicate: false });
      await reader.setCheckpoint(at.id, name, 0);
      const query = 'query ($id: ID!, $min: [Position!]) { playthrough(id: $id, minPosition: $min) { checkpoints { name turn } } }';
      expect(await reader.data(query, { id: at.id, min: [set.position] })).toEqual({ playthrough: { checkpoints: [{ name, turn: 0 }] } });
      await eventually(async () => {
        const { hits } = (await (await compliance()).rest('GET', `/audit/search?correlationId=${set.correlationId}`)).body as {
          hits: object[];
        };
        return hits.length > 0 ? true : undefined;
      }, 'the audit has the checkpoint too');
      const database = await connectToEmbedded(dataDir);
      try {
        const stored = await everythingStored(database);
        // The search would find what is there: ids are.
        expect(stored).toContain(at.id);
        expect(stored).not.toContain(name);
        expect(stored).not.toContain(name.slice(0, 22));
        expect(stored).not.toContain(Buffer.from(name).toString('base64').slice(0, 28));
      } finally {
        await database.end();
      }
      expect(server.output()).not.toContain(name);
    });

    test('a time-out that nobody waits for is taken by the sweep, and one that somebody meets by the next command', async () => {
      await reader.choose(at.id, 'take', 0);
      const { playthrough: swept } = await reader.choose(at.id, 'trapdoor', 1);
      expect(Date.parse(swept.moment.deadline as string)).toBeGreaterThan(Date.now() - 5_000);
      const { playthrough: met } = await intoTheCellar();
      // A command after the deadline and its grace decides the time-out first, then finds itself stale; which of the two takes it is a race here,
      // and both must come to the same.
      await eventually(
        async () => (Date.now() > Date.parse(met.moment.deadline as string) + 300 ? true : undefined),
        'the deadline passes',
      );
      const { code, extensions } = await refused(reader.choose(met.id, 'climb', met.turn));
      expect([code, extensions['status'], extensions['turn']]).toEqual(['TURN_STALE', 'ENDED', met.turn + 1]);
      const ended = await eventually(async () => {
        const found = await reader.playthrough(swept.id);
        return found?.status === 'ENDED' ? found : undefined;
      }, 'the sweep takes the timed choice');
      expect(ended).toMatchObject({ turn: 3, moment: { ending: 'late', deadline: null } });
    });

    const intoTheCellar = async () => {
      const { playthrough } = await reader.start(storyId);
      await reader.choose(playthrough.id, 'take', 0);
      return reader.choose(playthrough.id, 'trapdoor', 1);
    };
  });

  test('statistics are exactly what was played; what-ifs and previews are outside', async () => {
    const storyId = 'three-doors-counted';
    const hash = await publishStory(author, threeDoors(storyId));
    const expected = new Tally();
    let position = '';
    for (let seed = 1; seed <= 4; seed++) {
      const one = await walk(reader, storyId, seed, 6);
      expected.walked(one);
      position = one.last.position;
    }
    // One run that goes back, one what-if, one preview.
    const { playthrough } = await reader.start(storyId);
    expected.enters('hall');
    const { playthrough: waited } = await reader.choose(playthrough.id, 'wait', 0);
    expected.picks(playthrough, 'wait', waited);
    const rewound = await reader.rewind(playthrough.id, 0, 1);
    expected.goesBack('hall', 'hall');
    const whatIf = await reader.fork(playthrough.id, 1);
    const forked = await reader.choose(whatIf.playthrough.id, 'take', 1);
    const preview = await author.start(storyId, randomUUID(), { versionHash: hash, seed: 'my own seed' });
    const previewed = await author.choose(preview.playthrough.id, 'take', 0);
    for (const token of [position, rewound.position, forked.position]) await reader.playthrough(playthrough.id, [token]);
    await author.playthrough(preview.playthrough.id, [previewed.position]);
    const found = await stats(storyId, hash);
    expect(expected.of(found)).toEqual(expected.counts());
    // Where everybody stands counts all of them: four walks (those still under way), one reader, one what-if, one preview.
    const standing = found.passages.reduce((sum, passage) => sum + passage.standing, 0);
    expect(standing).toBe(expected.underWay() + 2);
  });

  test('a preview of a draft draws the same from the same seed, and readers cannot make one', async () => {
    const imported = await author.rest('POST', '/admin/stories?format=yaml', threeDoors('three-doors-draft'));
    const { versionHash } = imported.body as { versionHash: string };
    const dice: number[] = [];
    for (let n = 0; n < 2; n++) {
      const { playthrough } = await author.start('three-doors-draft', randomUUID(), { versionHash, seed: 'the same' });
      await author.choose(playthrough.id, 'take', 0);
      const { playthrough: inTheYard } = await author.choose(playthrough.id, 'gate', 1);
      dice.push(Number(/\d/.exec(inTheYard.moment.passage.text)?.[0]));
    }
    expect(dice[0]).toBe(dice[1]);
    expect((await refused(reader.start('three-doors-draft', randomUUID(), { versionHash }))).code).toBe('FORBIDDEN');
    expect((await refused(reader.start('three-doors-draft'))).code).toBe('STORY_NOT_FOUND');
    expect((await refused(author.start('three-doors', randomUUID(), { versionHash: '0'.repeat(64) }))).code).toBe('VERSION_NOT_FOUND');
  });

  test('after a stop and a start on the same data the same playthrough goes on, and an old command is still known', async () => {
    const commandId = randomUUID();
    const { playthrough } = await reader.start('the-cloakroom');
    const first = await reader.choose(
      playthrough.id,
      playthrough.moment.choices.find(({ enabled }) => enabled)?.id as string,
      0,
      commandId,
    );
    const locked = await ServerProcess.runToEnd({ dataDir });
    expect(locked.code).toBe(2);
    expect(locked.output).toMatch(/data directory .* is in use by process \d+/i);
    const complaints = complaintsOf(server);
    expect(complaints).toEqual([]);

    expect(await server.stop()).toBe(0);
    await start();
    process.stdout.write(`start on an empty data directory ${seconds[0]} s, on the same data ${seconds[1]} s\n`);

    const resumed = await reader.playthrough(playthrough.id);
    expect(resumed).toMatchObject({ turn: 1, stateHash: first.playthrough.stateHash, moment: first.playthrough.moment });
    const choice = resumed?.moment.choices.find(({ enabled }) => enabled)?.id as string;
    const next = await reader.choose(playthrough.id, choice, 1);
    expect(next).toMatchObject({ turn: 2, duplicate: false });
    const [taken] = (await turnsOf(playthrough.id)).filter(({ turn }) => turn === 1);
    const again = await reader.choose(playthrough.id, taken?.choiceId as string, 0, commandId);
    expect(again).toMatchObject({ duplicate: true, turn: first.turn, position: first.position, playthrough: { turn: 2 } });
    expect(complaintsOf(server)).toEqual([]);
  });

  const compliance = async (): Promise<ApiClient> => new ApiClient(server.url, await server.token(['compliance']));
  const turnsOf = async (id: string): Promise<{ turn: number; choiceId: string }[]> => {
    const query = 'query ($id: ID!) { playthrough(id: $id) { history(first: 20) { edges { node { turn choiceId } } } } }';
    const { playthrough } = await reader.data<{ playthrough: { history: { edges: { node: { turn: number; choiceId: string } }[] } } }>(
      query,
      { id },
    );
    return playthrough.history.edges.map(({ node }) => node);
  };
});

/** Counts what a client saw, apart from the server's own counting. Knows from the story which choices stand in a passage. */
class Tally {
  private readonly choices = new Map<string, { offered: number; visible: number; enabled: number; picked: number }>();
  private readonly passages = new Map<string, { entered: number; left: number; ended: number; rewoundTo: number; rewoundFrom: number }>();
  private readonly endings = new Map<string, number>();
  private runs = 0;

  walked({ steps, start }: Awaited<ReturnType<typeof walk>>): void {
    this.enters(start.playthrough.moment.passage.id);
    for (const { from, choiceId, answer } of steps) this.picks(from, choiceId, answer.playthrough);
  }
  enters(passageId: string): void {
    this.runs++;
    this.passage(passageId).entered++;
  }
  picks(from: PlayedPlaythrough, choiceId: string, to: PlayedPlaythrough): void {
    const here = from.moment.passage.id;
    for (const standing of OFFERS[here] ?? []) {
      const offer = from.moment.choices.find(({ id }) => id === standing);
      const count = this.choice(here, standing);
      count.offered++;
      if (offer !== undefined) count.visible++;
      if (offer?.enabled === true) count.enabled++;
    }
    this.choice(here, choiceId).picked++;
    const { ending, passage } = to.moment;
    if (ending !== null) {
      this.passage(here).ended++;
      this.endings.set(ending, (this.endings.get(ending) ?? 0) + 1);
      this.runs--;
    } else {
      this.passage(here).left++;
      this.passage(passage.id).entered++;
    }
  }
  goesBack(from: string, to: string): void {
    this.passage(from).rewoundFrom++;
    this.passage(to).rewoundTo++;
  }
  underWay(): number {
    return this.runs;
  }
  counts(): object {
    return {
      choices: Object.fromEntries(this.choices),
      passages: Object.fromEntries(this.passages),
      endings: Object.fromEntries(this.endings),
    };
  }
  /** The server's figures in the same shape; counters that only `standing` made are left out. */
  of({ choices, passages, endings }: VersionStats): object {
    const counted = passages.map(
      ({ passageId, entered, left, ended, rewoundTo, rewoundFrom }) =>
        [passageId, { entered, left, ended, rewoundTo, rewoundFrom }] as const,
    );
    return {
      choices: Object.fromEntries(
        choices.map(({ passageId, choiceId, offered, visible, enabled, picked }) => [
          `${passageId}/${choiceId}`,
          { offered, visible, enabled, picked },
        ]),
      ),
      passages: Object.fromEntries(counted.filter(([, counts]) => Object.values(counts).some((count) => count > 0))),
      endings: Object.fromEntries(endings.map(({ ending, reached }) => [ending, reached])),
    };
  }
  private choice(passageId: string, choiceId: string) {
    const key = `${passageId}/${choiceId}`;
    const count = this.choices.get(key) ?? { offered: 0, visible: 0, enabled: 0, picked: 0 };
    this.choices.set(key, count);
    return count;
  }
  private passage(id: string) {
    const count = this.passages.get(id) ?? { entered: 0, left: 0, ended: 0, rewoundTo: 0, rewoundFrom: 0 };
    this.passages.set(id, count);
    return count;
  }
}

/** Offers of the passages of `threeDoors`; a timed choice is no offer. */
const OFFERS: Readonly<Record<string, readonly string[]>> = {
  hall: ['take', 'gate', 'trapdoor', 'wait'],
  cellar: ['climb'],
  yard: ['leave', 'back'],
};
