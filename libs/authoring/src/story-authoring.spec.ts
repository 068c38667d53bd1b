import * as fc from 'fast-check';
import { canonicalJson } from '#lib/canonical';
import { isRejection, type Rejection } from '#lib/decision';
import { applyRecordedStory, storyAuthoring, storyStateFromJson, storyStateToJson } from './story-authoring.js';
import { MAX_VERSIONS, storyStream, type StoryCommand, type StoryEvent, type StoryStreamState } from './story-stream.js';

const hash = (n: number): string => n.toString(16).padStart(64, '0');

class Author {
  state: StoryStreamState | null = null;
  now = 1_000;

  decide(command: StoryCommand): readonly StoryEvent[] | Rejection {
    return storyAuthoring.decide(command, this.state, { now: this.now });
  }
  send(command: StoryCommand): readonly StoryEvent[] {
    const decision = this.decide(command);
    if (isRejection(decision)) throw new Error(`${decision.rejected}: ${decision.message}`);
    for (const event of decision) this.state = applyRecordedStory(this.state, JSON.parse(canonicalJson(event)) as StoryEvent);
    return decision;
  }
  draft(n: number, more: Partial<Extract<StoryCommand, { type: 'draftVersion' }>> = {}): readonly StoryEvent[] {
    return this.send({
      type: 'draftVersion',
      storyId: 'bells',
      versionHash: hash(n),
      title: 'Bells',
      format: 'json',
      lintErrors: 0,
      lintWarnings: 0,
      passages: 3,
      ...more,
    });
  }
  publish(n: number): readonly StoryEvent[] {
    return this.send({ type: 'publishVersion', versionHash: hash(n) });
  }
  retire(n: number): readonly StoryEvent[] {
    return this.send({ type: 'retireVersion', versionHash: hash(n) });
  }
  get current(): string | null | undefined {
    return this.state?.current;
  }
}

describe('a story', () => {
  it('takes drafts, and new readers start on the last version published', () => {
    const author = new Author();
    expect(author.draft(1)).toMatchObject([
      { type: 'StoryVersionDrafted', v: 1, storyId: 'bells', versionHash: hash(1), title: 'Bells', at: 1_000 },
    ]);
    expect(author.current).toBeNull();
    expect(author.publish(1)).toMatchObject([{ type: 'StoryVersionPublished', replaces: null, title: 'Bells' }]);
    author.draft(2);
    expect(author.current).toBe(hash(1));
    expect(author.publish(2)).toMatchObject([{ replaces: hash(1) }]);
    expect(author.current).toBe(hash(2));
    expect(author.publish(1)).toMatchObject([{ replaces: hash(2) }]);
    expect(author.current).toBe(hash(1));
  });

  it('goes back to the version published before when the current one is retired, and takes no readers after the last', () => {
    const author = new Author();
    for (const n of [1, 2, 3]) author.draft(n);
    author.publish(1);
    author.publish(2);
    expect(author.retire(2)).toMatchObject([{ type: 'StoryVersionRetired', current: hash(1) }]);
    expect(author.retire(3)).toMatchObject([{ current: hash(1) }]);
    expect(author.retire(1)).toMatchObject([{ current: null }]);
    expect(author.state?.versions.map((version) => version.status)).toEqual(['retired', 'retired', 'retired']);
  });

  it('records nothing for what is so already', () => {
    const author = new Author();
    author.draft(1);
    expect(author.draft(1)).toEqual([]);
    author.publish(1);
    expect(author.publish(1)).toEqual([]);
    expect(author.draft(1)).toEqual([]);
    author.retire(1);
    expect(author.retire(1)).toEqual([]);
  });

  it('publishes no version with lint errors, a retired one only after it was imported again', () => {
    const author = new Author();
    author.draft(1, { lintErrors: 3 });
    expect(author.decide({ type: 'publishVersion', versionHash: hash(1) })).toMatchObject({
      rejected: 'BAD_INPUT',
      details: { lintErrors: 3 },
    });
    expect(author.draft(1, { lintErrors: 0 })).toHaveLength(1);
    author.publish(1);
    author.retire(1);
    expect(author.decide({ type: 'publishVersion', versionHash: hash(1) })).toMatchObject({ rejected: 'STORY_RETIRED' });
    author.draft(1);
    author.publish(1);
    expect(author.current).toBe(hash(1));
  });

  it('keeps a published version published when it is linted anew', () => {
    const author = new Author();
    author.draft(1);
    author.publish(1);
    author.draft(1, { lintErrors: 1 });
    expect(author.state?.versions).toMatchObject([{ hash: hash(1), status: 'published', lintErrors: 1 }]);
  });

  it('answers what is not there', () => {
    const author = new Author();
    expect(author.decide({ type: 'publishVersion', versionHash: hash(1) })).toMatchObject({ rejected: 'STORY_NOT_FOUND' });
    author.draft(1);
    expect(author.decide({ type: 'retireVersion', versionHash: hash(2) })).toMatchObject({ rejected: 'VERSION_NOT_FOUND' });
    expect(() => author.draft(2, { storyId: 'other' })).toThrow('BAD_INPUT');
  });

  it(`holds at most ${MAX_VERSIONS} versions: forgets drafts, then retired ones, never one that readers may start on`, () => {
    const author = new Author();
    const title = '橋'.repeat(200);
    author.draft(0, { title });
    author.publish(0);
    for (let n = 1; n <= MAX_VERSIONS; n++) author.draft(n, { title });
    expect(author.state?.versions).toHaveLength(MAX_VERSIONS);
    expect(author.decide({ type: 'publishVersion', versionHash: hash(1) })).toMatchObject({ rejected: 'VERSION_NOT_FOUND' });
    expect(author.current).toBe(hash(0));
    for (let n = 2; n <= MAX_VERSIONS; n++) author.publish(n);
    expect(() => author.draft(MAX_VERSIONS + 1)).toThrow('retire one first');
    author.retire(5);
    author.draft(MAX_VERSIONS + 1, { title });
    expect(author.state?.versions.some((version) => version.hash === hash(5))).toBe(false);
    expect(author.state?.versions).toHaveLength(MAX_VERSIONS);
    expect(Buffer.byteLength(storyStateToJson(author.state as StoryStreamState))).toBeLessThan(64 * 1024);
  });

  it('has a stream named by its id, without the spaces that stream names cannot hold', () => {
    expect(storyStream("Tam o' Shanter 2.0")).toBe("story/Tam+o'+Shanter+2.0");
  });
});

describe('whatever is sent to a story', () => {
  it('is answered with events or a known code, and the state comes back from its JSON', () => {
    const author = new Author();
    author.draft(1);
    author.publish(1);
    const garbage = fc.oneof(
      fc.anything(),
      fc.record(
        {
          type: fc.oneof(fc.constantFrom('draftVersion', 'publishVersion', 'retireVersion'), fc.anything()),
          versionHash: fc.oneof(fc.constantFrom(hash(1), hash(2)), fc.anything()),
          storyId: fc.oneof(fc.constant('bells'), fc.anything()),
          title: fc.oneof(fc.string(), fc.anything()),
          format: fc.oneof(fc.constantFrom('json', 'ink'), fc.anything()),
          lintErrors: fc.oneof(fc.nat(2), fc.anything()),
          lintWarnings: fc.oneof(fc.nat(2), fc.anything()),
          passages: fc.oneof(fc.nat(2), fc.anything()),
        },
        { requiredKeys: ['type'] },
      ),
    );
    fc.assert(
      fc.property(garbage, fc.boolean(), (command, empty) => {
        const state = empty ? null : author.state;
        const decision = storyAuthoring.decide(command as StoryCommand, state, { now: 5 });
        if (isRejection(decision)) {
          expect(['BAD_INPUT', 'STORY_NOT_FOUND', 'VERSION_NOT_FOUND', 'STORY_RETIRED']).toContain(decision.rejected);
          return;
        }
        let after = state;
        for (const event of decision) after = applyRecordedStory(after, event);
        if (after !== null) expect(storyStateFromJson(storyStateToJson(after))).toEqual(after);
        expect(after?.lastAt ?? 0).toBeGreaterThanOrEqual(state?.lastAt ?? 0);
      }),
      { numRuns: 1_000 },
    );
  });

  it('is not read as a state when it is none', () => {
    for (const text of ['null', '{}', '{"id":"a"}', '{"id":"a","versions":{}}', 'x']) expect(() => storyStateFromJson(text)).toThrow();
  });
});
