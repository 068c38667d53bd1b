import { storyStream, type StoryCommand } from '#lib/authoring';
import type { Actor } from '#lib/decision';
import type { CommandOutcome, CommandRequest } from '#lib/engine';
import type { LogId } from '#lib/log';
import { FabulaError, systemIds } from '#lib/platform';
import { encodePosition, type PositionWaiter, type ReadModels, type StoryVersionRow } from '#lib/projections';
import type { Problem } from '#lib/story';
import { exportStory, SOURCE_PROBLEMS, type ImportResult, type StoryFormat } from '#lib/story-formats';
import type { Origin } from '../http/auth.js';
import type { StoryContents } from './story-contents.js';
import { StoryImporter } from './story-importer.js';

/** How long a start may use what was current a moment ago: a publication is seen by all processes within that time. */
const CURRENT_TRUSTED_MS = 1_000;
const KEPT = 1_000;

export interface Imported {
  /** False: the very same content was there already. */
  readonly created: boolean;
  readonly storyId: string;
  readonly versionHash: string;
  readonly lint: readonly Problem[];
  readonly result: ImportResult;
}

/** What the catalogue needs of its process. */
interface CatalogueHost {
  readonly logId: LogId;
  readonly reads: ReadModels;
  readonly waiter: PositionWaiter;
  readonly contents: StoryContents;
  execute(request: CommandRequest): Promise<CommandOutcome>;
}

/** Story versions: brought in, published, retired, looked up. */
export class StoryCatalogue {
  private readonly current = new Map<string, { readonly hash: string; readonly until: number }>();

  private readonly importer = new StoryImporter();

  constructor(private readonly host: CatalogueHost) {}

  close(): Promise<void> {
    return this.importer.close();
  }

  /**
   * What a new playthrough is pinned to: the published version, or the one an author asked for.
   * @throws FabulaError STORY_NOT_FOUND, STORY_RETIRED, VERSION_NOT_FOUND
   */
  async startVersion(storyId: string, wanted?: string): Promise<string> {
    const known = this.current.get(storyId);
    if (wanted === undefined && known !== undefined && known.until > Date.now()) return known.hash;
    const { value: story } = await this.host.reads.story(storyId);
    if (story === undefined) throw new FabulaError('STORY_NOT_FOUND');
    if (wanted !== undefined) {
      if (!story.versions.some(({ versionHash }) => versionHash === wanted)) throw new FabulaError('VERSION_NOT_FOUND');
      return wanted;
    }
    if (story.currentVersion === null) {
      throw new FabulaError(story.versions.some(({ status }) => status === 'retired') ? 'STORY_RETIRED' : 'STORY_NOT_FOUND');
    }
    if (this.current.size >= KEPT) this.current.delete(this.current.keys().next().value as string);
    this.current.set(storyId, { hash: story.currentVersion, until: Date.now() + CURRENT_TRUSTED_MS });
    return story.currentVersion;
  }

  /**
   * Reads a source, stores its content and drafts the version.
   * @throws FabulaError LINT_ERRORS when no story can be read from it
   */
  async import(source: string, format: StoryFormat, id: string | undefined, actor: Actor, origin: Origin): Promise<Imported> {
    const { result, lint } = await this.importer.read(source, format, id);
    const { story } = result;
    if (story === undefined) {
      const code = lint.some((problem) => problem.code === SOURCE_PROBLEMS.tooLarge) ? 'TOO_LARGE' : 'LINT_ERRORS';
      throw new FabulaError(code, 'no story can be read from this', { details: { problems: lint, notImported: result.notImported } });
    }
    const count = (severity: Problem['severity']): number => lint.filter((problem) => problem.severity === severity).length;
    const versionHash = await this.host.contents.put(story);
    const before = (await this.host.reads.story(story.id)).value?.versions.some((version) => version.versionHash === versionHash) === true;
    await this.command(story.id, actor, origin, {
      type: 'draftVersion',
      storyId: story.id,
      versionHash,
      title: story.title.slice(0, 200),
      format,
      lintErrors: count('error'),
      lintWarnings: count('warning'),
      passages: Object.keys(story.passages).length,
    });
    return { created: !before, storyId: story.id, versionHash, lint, result };
  }

  /** Makes a version what new playthroughs start on. Answers how many playthroughs under way stay on others. */
  async publish(
    storyId: string,
    versionHash: string,
    actor: Actor,
    origin: Origin,
  ): Promise<{ readonly position: string; readonly livePlaythroughs: number }> {
    const position = await this.command(storyId, actor, origin, { type: 'publishVersion', versionHash });
    this.current.delete(storyId);
    return { position, livePlaythroughs: await this.livePlaythroughs(storyId, versionHash) };
  }

  async retire(storyId: string, versionHash: string, actor: Actor, origin: Origin): Promise<{ readonly position: string }> {
    const position = await this.command(storyId, actor, origin, { type: 'retireVersion', versionHash });
    this.current.delete(storyId);
    return { position };
  }

  /** @throws FabulaError STORY_NOT_FOUND, VERSION_NOT_FOUND */
  async version(storyId: string, versionHash: string): Promise<StoryVersionRow> {
    const { value: story } = await this.host.reads.story(storyId);
    if (story === undefined) throw new FabulaError('STORY_NOT_FOUND');
    const version = story.versions.find((one) => one.versionHash === versionHash);
    if (version === undefined) throw new FabulaError('VERSION_NOT_FOUND');
    return version;
  }

  async exported(versionHash: string, format: StoryFormat): Promise<string> {
    const story = await this.host.contents.story(versionHash);
    if (story === undefined) throw new FabulaError('INTERNAL', `the content of version ${versionHash} is missing`);
    return exportStory(story, format);
  }

  /** Playthroughs under way on other versions of the story. */
  private async livePlaythroughs(storyId: string, except: string): Promise<number> {
    const { value: story } = await this.host.reads.story(storyId);
    let live = 0;
    for (const { versionHash } of story?.versions ?? []) {
      if (versionHash === except) continue;
      for (const standing of (await this.host.reads.standing(storyId, versionHash)).value.values()) live += standing;
    }
    return live;
  }

  /** Runs a command of the story's stream and waits until everybody can read its effect; answers its position. */
  private async command(storyId: string, actor: Actor, origin: Origin, command: StoryCommand): Promise<string> {
    const outcome: CommandOutcome = await this.host.execute({
      stream: storyStream(storyId),
      // Each request is a command of its own: repeating one finds its work done and records nothing.
      commandId: `c:${systemIds.uuid()}`,
      digestInput: { ...command },
      command,
      actor,
      correlationId: origin.correlationId,
      causationId: null,
      ...(origin.trace !== undefined && { headers: origin.trace }),
    });
    if (outcome.kind === 'rejected') throw new FabulaError(storyCode(outcome.code), outcome.message, { details: { ...outcome.details } });
    const position = { logId: this.host.logId, partition: outcome.partition, offset: outcome.offset };
    if (outcome.offset >= 0) await this.host.waiter.waitFor(position);
    return encodePosition(position);
  }
}

function storyCode(code: string): 'VERSION_NOT_FOUND' | 'STORY_NOT_FOUND' | 'STORY_RETIRED' | 'BAD_INPUT' {
  if (code === 'VERSION_NOT_FOUND' || code === 'STORY_NOT_FOUND' || code === 'STORY_RETIRED') return code;
  return 'BAD_INPUT';
}
