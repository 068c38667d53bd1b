import type { MouseEvent, ReactNode } from 'react';
import { useOnline } from './use-online.js';

/** A plain click stays in the page; a click that asks for a new tab is the browser's. */
export function inPage(go: () => void): (event: MouseEvent) => void {
  return (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0) return;
    event.preventDefault();
    go();
  };
}

export function PageFrame(props: {
  readonly title?: string | undefined;
  readonly byline?: string | undefined;
  readonly onLibrary?: (() => void) | undefined;
  readonly status?: ReactNode;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
}) {
  const online = useOnline();
  return (
    <div className={props.aside === undefined ? 'page' : 'page page-with-aside'}>
      <a className="skip" href="#main">
        Skip to the text
      </a>
      <header className="bar">
        <nav aria-label="Pages">
          {props.onLibrary === undefined ? (
            <span className="wordmark">Fabula</span>
          ) : (
            <a className="wordmark" href="/play" onClick={inPage(props.onLibrary)} data-testid="to-library">
              <span aria-hidden="true">‹ </span>Fabula<span className="unseen">: all stories</span>
            </a>
          )}
        </nav>
        {props.title !== undefined && (
          <p className="bar-title">
            <cite>{props.title}</cite>
          </p>
        )}
        <div className="bar-status">{props.status}</div>
      </header>
      {!online && (
        <p className="offline" role="status" data-testid="offline">
          You are offline. You can go on reading; choices wait until you are back.
        </p>
      )}
      <main id="main" className="main" tabIndex={-1}>
        {props.children}
      </main>
      {props.aside !== undefined && (
        <aside className="aside" aria-label="Your story">
          {props.aside}
        </aside>
      )}
    </div>
  );
}
