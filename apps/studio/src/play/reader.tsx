import { useEffect, useRef, useState } from 'react';
import type { Playthrough } from '../api/playthrough-types.js';
import { Choices } from './choices.js';
import { Deadline } from './deadline.js';
import { plainOf } from './emphasis.js';
import { Ending } from './ending.js';
import { momentInError } from './moment-in-error.js';
import { Loading, ProblemNotice } from './notices.js';
import { inPage, PageFrame } from './page-frame.js';
import { SidePanels } from './side-panels.js';
import { StyledText } from './styled-text.js';
import { addressOf } from './use-address.js';
import { useCommands } from './use-commands.js';
import { usePlaythrough } from './use-playthrough.js';

/** One open playthrough. */
export function Reader(props: {
  readonly id: string;
  readonly given: Playthrough | undefined;
  readonly onEnter: (playthrough: Playthrough) => void;
  readonly onOpen: (id: string) => void;
  readonly onLibrary: () => void;
}) {
  const { id } = props;
  const { playthrough, problem, feed, take, refresh } = usePlaythrough(id, props.given);
  const [said, setSaid] = useState('');
  const heading = useRef<HTMLHeadingElement>(null);
  /** The turn after our own command: the only change that may move the reader's focus. The feed may show it before the answer comes. */
  const [ours, setOurs] = useState<number>();

  const commands = useCommands({
    done: ({ playthrough: next }, wish) => {
      if (next.id !== id) {
        props.onEnter(next);
        return;
      }
      if (wish.do === 'setCheckpoint') setSaid('Page kept.');
      else setOurs(next.turn);
      take(next);
    },
    refused: (refusal) => {
      const now = refusal.code === 'TURN_STALE' ? momentInError(refusal) : undefined;
      if (now !== undefined && playthrough !== undefined) take({ ...playthrough, ...now });
      if (!refusal.retryable || refusal.code === 'TURN_STALE') void refresh();
    },
  });

  const turn = playthrough?.turn;
  const title = playthrough?.moment.passage.title;
  const storyTitle = playthrough?.story.title;
  useEffect(() => {
    if (turn === undefined || title === undefined) return;
    document.title = `${plainOf(title)} · ${storyTitle ?? ''}`;
    if (ours === turn) {
      heading.current?.focus({ preventScroll: true });
      window.scrollTo({ top: 0 });
      setSaid(`Turn ${turn}.`);
    } else {
      setSaid(`${plainOf(title)}. Turn ${turn}.`);
    }
  }, [turn, title, storyTitle, ours]);

  if (playthrough === undefined) {
    return (
      <PageFrame onLibrary={props.onLibrary}>
        <h1 className="unseen">Your story</h1>
        {problem === undefined ? (
          <Loading words="Finding your page…" />
        ) : (
          <div className="alone">
            <ProblemNotice problem={problem} retry={problem.code === 'PLAYTHROUGH_NOT_FOUND' ? undefined : () => void refresh()} />
            <p>
              <a href={addressOf(undefined)} onClick={inPage(props.onLibrary)}>
                Back to all stories
              </a>
            </p>
          </div>
        )}
      </PageFrame>
    );
  }

  const { moment, status, story, forkedFrom } = playthrough;
  const { pending, failed, submit } = commands;
  const busy = pending !== undefined;
  const rewind = (toTurn: number): void => submit({ do: 'rewind', playthroughId: id, toTurn, turn: playthrough.turn });
  const ended = status === 'ENDED';

  return (
    <PageFrame
      title={story.title}
      onLibrary={props.onLibrary}
      status={feed === 'reconnecting' && <span className="chip chip-late">reconnecting…</span>}
      aside={
        <SidePanels
          playthrough={playthrough}
          busy={busy}
          onRewind={rewind}
          onFork={(atTurn) => submit({ do: 'fork', playthroughId: id, atTurn })}
          onKeep={(name) => submit({ do: 'setCheckpoint', playthroughId: id, name, turn: playthrough.turn })}
        />
      }
    >
      <p className="unseen" aria-live="polite" data-testid="announcement">
        {said}
      </p>
      {forkedFrom !== null && (
        <p className="what-if" data-testid="what-if">
          <strong>What if…</strong> You are trying another way, beside{' '}
          <a href={addressOf(forkedFrom.playthroughId)} onClick={inPage(() => props.onOpen(forkedFrom.playthroughId))}>
            the story you left at turn {forkedFrom.turn}
          </a>
          .
        </p>
      )}
      {moment.deadline !== null && !ended && <Deadline key={moment.deadline} at={moment.deadline} onDue={() => void refresh()} />}
      <article key={playthrough.turn} className="passage" lang={story.language} data-testid="passage" data-turn={playthrough.turn}>
        <h1 ref={heading} tabIndex={-1} className="passage-title">
          {plainOf(moment.passage.title)}
        </h1>
        <div className="passage-text">
          <StyledText text={moment.passage.text} />
        </div>
      </article>
      {failed && (
        <ProblemNotice
          problem={failed.problem}
          busy={busy}
          retry={failed.retry}
          dismiss={failed.retry === undefined ? commands.dismiss : undefined}
        />
      )}
      {problem && !failed && <ProblemNotice problem={problem} retry={() => void refresh()} />}
      {ended ? (
        <Ending
          title={moment.endingTitle ?? moment.ending ?? 'The end'}
          turn={playthrough.turn}
          busy={busy}
          onAgain={() => submit({ do: 'start', storyId: story.id })}
          onBack={() => rewind(playthrough.turn - 1)}
          onLibrary={props.onLibrary}
        />
      ) : (
        <Choices
          offers={moment.choices}
          busy={busy}
          pending={pending?.wish.do === 'choose' ? pending.wish.choiceId : undefined}
          onChoose={(offer) => submit({ do: 'choose', playthroughId: id, choiceId: offer.id, turn: playthrough.turn })}
          onLocked={(offer) => setSaid(`Locked. ${offer.reason ?? 'Not possible at the moment.'}`)}
        />
      )}
    </PageFrame>
  );
}
