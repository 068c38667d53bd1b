import { useCallback, useEffect, useState } from 'react';
import { libraryPage } from '../api/operations.js';
import type { BegunPlaythrough, Playthrough, StorySummary } from '../api/playthrough-types.js';
import { asProblem, type Problem } from '../api/problem.js';
import { Loading, ProblemNotice } from './notices.js';
import { inPage, PageFrame } from './page-frame.js';
import { useServices } from './services.js';
import { addressOf } from './use-address.js';
import { useCommands } from './use-commands.js';

interface Shelf {
  readonly stories: readonly StorySummary[];
  readonly begun: readonly BegunPlaythrough[];
  readonly more: string | undefined;
}

export function Library(props: { readonly onEnter: (playthrough: Playthrough) => void; readonly onOpen: (id: string) => void }) {
  const { client } = useServices();
  const [shelf, setShelf] = useState<Shelf>();
  const [problem, setProblem] = useState<Problem>();
  const [loading, setLoading] = useState(true);
  const start = useCommands({ done: ({ playthrough }) => props.onEnter(playthrough), refused: () => undefined });

  const load = useCallback(
    async (after: string | undefined) => {
      setLoading(true);
      try {
        const { stories, myPlaythroughs } = await client.run(libraryPage, { after: after ?? null });
        const { hasNextPage, endCursor } = stories.pageInfo;
        setShelf((before) => ({
          stories: [...(after === undefined ? [] : (before?.stories ?? [])), ...stories.edges.map(({ node }) => node)],
          begun: myPlaythroughs.edges.map(({ node }) => node),
          more: hasNextPage ? (endCursor ?? undefined) : undefined,
        }));
        setProblem(undefined);
      } catch (error) {
        setProblem(asProblem(error));
      }
      setLoading(false);
    },
    [client],
  );
  useEffect(() => {
    document.title = 'Fabula';
    void load(undefined);
  }, [load]);

  return (
    <PageFrame>
      <div className="library">
        <h1 className="library-title">What shall we read?</h1>
        {start.failed && (
          <ProblemNotice
            problem={start.failed.problem}
            retry={start.failed.retry}
            dismiss={start.dismiss}
            busy={start.pending !== undefined}
          />
        )}
        {problem && <ProblemNotice problem={problem} retry={() => void load(undefined)} busy={loading} />}
        {shelf === undefined && problem === undefined && <Loading words="Looking along the shelf…" />}
        {shelf !== undefined && shelf.begun.length > 0 && <Begun begun={shelf.begun} onOpen={props.onOpen} />}
        {shelf !== undefined && (
          <section aria-labelledby="stories">
            <h2 id="stories" className="eyebrow">
              Stories
            </h2>
            {shelf.stories.length === 0 ? (
              <p className="empty" data-testid="no-stories">
                The shelf is still empty. As soon as an author publishes a story, it stands here.
              </p>
            ) : (
              <ul className="stories" data-testid="story-list">
                {shelf.stories.map((story) => (
                  <li key={story.id} className="story" lang={story.language}>
                    <h3 className="story-title">{story.title}</h3>
                    {story.author !== null && <p className="story-author">{story.author}</p>}
                    {story.description !== null && <p className="story-description">{story.description}</p>}
                    <button
                      type="button"
                      className="button"
                      data-testid={`start-${story.id}`}
                      aria-label={`Begin ${story.title}`}
                      disabled={start.pending !== undefined}
                      onClick={() => start.submit({ do: 'start', storyId: story.id })}
                    >
                      {start.pending?.wish.do === 'start' && start.pending.wish.storyId === story.id ? 'Opening…' : 'Begin'}
                    </button>
                  </li>
                ))}
              </ul>
            )}
            {shelf.more !== undefined && (
              <button type="button" className="button button-plain" disabled={loading} onClick={() => void load(shelf.more)}>
                More stories
              </button>
            )}
          </section>
        )}
      </div>
    </PageFrame>
  );
}

/** Shown at once; the rest on request, so that the stories stay in sight. */
const FIRST_BEGUN = 4;

function Begun(props: { readonly begun: readonly BegunPlaythrough[]; readonly onOpen: (id: string) => void }) {
  const [all, setAll] = useState(false);
  const shown = all ? props.begun : props.begun.slice(0, FIRST_BEGUN);
  return (
    <section aria-labelledby="begun">
      <h2 id="begun" className="eyebrow">
        Where you were
      </h2>
      <ul className="begun" data-testid="continue-list">
        {shown.map(({ id, status, turn, story, moment, forkedFrom }) => (
          <li key={id}>
            <a className="begun-link" href={addressOf(id)} onClick={inPage(() => props.onOpen(id))} data-testid={`continue-${id}`}>
              <span className="begun-title">{story.title}</span>
              <span className="begun-place">{status === 'ENDED' ? (moment.endingTitle ?? 'The end') : moment.passage.title}</span>
              <span className="begun-turn">
                {status === 'ENDED' ? 'Finished' : `Turn ${turn}`}
                {forkedFrom !== null && ' · what if'}
              </span>
            </a>
          </li>
        ))}
      </ul>
      {shown.length < props.begun.length && (
        <button type="button" className="more" onClick={() => setAll(true)}>
          Earlier ones ({props.begun.length - shown.length})
        </button>
      )}
    </section>
  );
}
