import { addressOf } from './use-address.js';
import { inPage } from './page-frame.js';

/** The last page. */
export function Ending(props: {
  readonly title: string;
  readonly turn: number;
  readonly busy: boolean;
  readonly onAgain: () => void;
  readonly onBack: () => void;
  readonly onLibrary: () => void;
}) {
  return (
    <section className="ending" aria-labelledby="ending-title" data-testid="ending">
      <p className="ending-ornament" aria-hidden="true">
        ❦
      </p>
      <p className="eyebrow">You have reached the ending</p>
      <h2 id="ending-title" className="ending-title">
        {props.title}
      </h2>
      <p className="ending-turns">after {props.turn === 1 ? 'one turn' : `${props.turn} turns`}</p>
      <p className="ending-actions">
        <button type="button" className="button" onClick={props.onAgain} disabled={props.busy} data-testid="again">
          Read it again, otherwise
        </button>
        {props.turn > 0 && (
          <button type="button" className="button button-plain" onClick={props.onBack} disabled={props.busy} data-testid="one-back">
            Take back the last choice
          </button>
        )}
        <a className="button button-plain" href={addressOf(undefined)} onClick={inPage(props.onLibrary)}>
          Another story
        </a>
      </p>
    </section>
  );
}
