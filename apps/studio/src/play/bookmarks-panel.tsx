import { useState } from 'react';
import { MAX_NAME_CHARACTERS } from './limits.js';
import type { Playthrough } from '../api/playthrough-types.js';

/** The reader's checkpoints: named pages to come back to. */
export function BookmarksPanel(props: {
  readonly playthrough: Playthrough;
  readonly busy: boolean;
  readonly onKeep: (name: string) => void;
  readonly onRewind: (toTurn: number) => void;
}) {
  const { checkpoints, turn, moment } = props.playthrough;
  const [name, setName] = useState('');
  const [asking, setAsking] = useState<number>();
  const suggested = moment.passage.title;
  const kept = [...checkpoints].sort((a, b) => b.turn - a.turn);
  return (
    <>
      <form
        className="bookmark-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (props.busy) return;
          props.onKeep(name.trim() === '' ? suggested.slice(0, MAX_NAME_CHARACTERS) : name.trim());
          setName('');
        }}
      >
        <label htmlFor="bookmark-name">Name this page</label>
        <div className="bookmark-line">
          <input
            id="bookmark-name"
            value={name}
            maxLength={MAX_NAME_CHARACTERS}
            placeholder={suggested}
            autoComplete="off"
            onChange={(event) => setName(event.target.value)}
            data-testid="checkpoint-name"
          />
          <button type="submit" className="button" disabled={props.busy} data-testid="checkpoint-set">
            Keep
          </button>
        </div>
      </form>
      {kept.length === 0 ? (
        <p className="panel-empty">No page kept yet. A kept page is a place you can always go back to.</p>
      ) : (
        <ul className="bookmarks" data-testid="checkpoints">
          {kept.map((checkpoint, index) => (
            <li key={`${checkpoint.turn}-${index}`}>
              <p className="bookmark-name">
                {checkpoint.name ?? 'A page without a name'} <span className="bookmark-turn">turn {checkpoint.turn}</span>
              </p>
              {checkpoint.turn === turn ? (
                <p className="bookmark-here">You are here.</p>
              ) : asking === index ? (
                <p className="bookmark-ask">
                  <button
                    type="button"
                    className="button"
                    disabled={props.busy}
                    data-testid={`checkpoint-go-${checkpoint.turn}`}
                    onClick={() => {
                      setAsking(undefined);
                      props.onRewind(checkpoint.turn);
                    }}
                  >
                    Go back there
                  </button>
                  <button type="button" className="button button-plain" onClick={() => setAsking(undefined)}>
                    Stay
                  </button>
                </p>
              ) : (
                <button
                  type="button"
                  className="turn-back"
                  onClick={() => setAsking(index)}
                  data-testid={`checkpoint-ask-${checkpoint.turn}`}
                >
                  Go back<span className="unseen"> to {checkpoint.name ?? `turn ${checkpoint.turn}`}</span>
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
