import { useEffect, useState } from 'react';
import { turnsOf } from '../api/operations.js';
import type { Playthrough, Turn, VariableView } from '../api/playthrough-types.js';
import { asProblem, type Problem } from '../api/problem.js';
import { changesInWords } from './changes-in-words.js';
import { ProblemNotice } from './notices.js';
import { useServices } from './services.js';
import { StyledLine } from './styled-text.js';

interface Turns {
  readonly of: number;
  readonly turns: readonly Turn[];
  readonly more: string | undefined;
}

/** The way so far, the latest turn first; from each turn one can go back, or try what else might have been. */
export function HistoryPanel(props: {
  readonly playthrough: Playthrough;
  readonly open: boolean;
  readonly busy: boolean;
  readonly onRewind: (toTurn: number) => void;
  readonly onFork: (atTurn: number) => void;
}) {
  const { client } = useServices();
  const { id, turn, position, moment } = props.playthrough;
  const [shown, setShown] = useState<Turns>();
  const [problem, setProblem] = useState<Problem>();
  const [asked, setAsked] = useState(0);

  const load = async (after: string | undefined, wanted: () => boolean): Promise<void> => {
    try {
      const { playthrough } = await client.run(turnsOf, { id, after: after ?? null, position });
      if (!wanted() || playthrough === null) return;
      const { edges, pageInfo } = playthrough.history;
      const page = edges.map(({ node }) => node);
      setShown((before) => ({
        of: turn,
        turns: after === undefined ? page : [...(before?.turns ?? []), ...page],
        more: pageInfo.hasNextPage ? (pageInfo.endCursor ?? undefined) : undefined,
      }));
      setProblem(undefined);
    } catch (error) {
      if (wanted()) setProblem(asProblem(error));
    }
  };
  useEffect(() => {
    if (!props.open) return undefined;
    let wanted = true;
    void load(undefined, () => wanted);
    return () => {
      wanted = false;
    };
    // `load` reads what is listed here; `asked` is the reader's retry.
  }, [client, id, turn, props.open, asked]);

  if (problem) return <ProblemNotice problem={problem} retry={() => setAsked(asked + 1)} />;
  if (shown === undefined) return <p className="panel-empty">Turning back the pages…</p>;
  if (shown.turns.every(({ kind }) => kind === 'STARTED')) {
    return <p className="panel-empty">Nothing has happened yet. Your choices will be written down here.</p>;
  }
  return (
    <>
      <ol className="turns" data-testid="history" aria-busy={shown.of !== turn}>
        {shown.turns.map((past) => (
          <TurnLine
            key={past.turn}
            past={past}
            variables={moment.variables}
            busy={props.busy}
            onRewind={props.onRewind}
            onFork={props.onFork}
          />
        ))}
      </ol>
      {shown.more !== undefined && (
        <button type="button" className="button button-plain" onClick={() => void load(shown.more, () => true)}>
          Further back
        </button>
      )}
    </>
  );
}

const happened: { readonly [kind in Turn['kind']]: string } = {
  STARTED: 'The story began',
  CHOICE: '',
  TIMED_OUT: 'Time ran out',
  REWOUND: 'You went back',
  FORKED: 'What if…',
};

function TurnLine(props: {
  readonly past: Turn;
  readonly variables: readonly VariableView[];
  readonly busy: boolean;
  readonly onRewind: (toTurn: number) => void;
  readonly onFork: (atTurn: number) => void;
}) {
  const { turn, kind, label, changes } = props.past;
  const [asking, setAsking] = useState(false);
  const words = changesInWords(changes, props.variables);
  const canGoBack = turn > 0 && (kind === 'CHOICE' || kind === 'TIMED_OUT');
  const before = turn - 1;
  return (
    <li className={`turn turn-${kind.toLowerCase()}`} data-testid={`turn-${turn}`}>
      <span className="turn-number" aria-label={`Turn ${turn}`}>
        {turn}
      </span>
      <div className="turn-body">
        <p className="turn-label">
          {happened[kind] !== '' && <span className="turn-kind">{happened[kind]}</span>}
          {kind !== 'REWOUND' && kind !== 'STARTED' && label !== '' && (
            <span>
              <StyledLine text={label} />
            </span>
          )}
        </p>
        {words.length > 0 && (
          <ul className="turn-changes">
            {words.map((change) => (
              <li key={change.label}>
                {change.label}: {change.words}
              </li>
            ))}
          </ul>
        )}
        {canGoBack && (
          <button
            type="button"
            className="turn-back"
            aria-expanded={asking}
            onClick={() => setAsking(!asking)}
            data-testid={`turn-back-${turn}`}
          >
            {asking ? 'Leave it as it was' : 'Choose otherwise'}
            <span className="unseen"> at turn {turn}</span>
          </button>
        )}
        {asking && (
          <div className="turn-ask">
            <p>Go back to before this choice? What came after stays written down, but the story goes on from there.</p>
            <button
              type="button"
              className="button"
              disabled={props.busy}
              data-testid={`rewind-${before}`}
              onClick={() => {
                setAsking(false);
                props.onRewind(before);
              }}
            >
              Go back
            </button>
            <p>Or keep this story as it is, and try another way beside it.</p>
            <button
              type="button"
              className="button button-plain"
              disabled={props.busy}
              data-testid={`fork-${before}`}
              onClick={() => {
                setAsking(false);
                props.onFork(before);
              }}
            >
              What if…
            </button>
          </div>
        )}
      </div>
    </li>
  );
}
