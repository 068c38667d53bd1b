import { useState, type ReactNode } from 'react';
import type { Playthrough } from '../api/playthrough-types.js';
import { BookmarksPanel } from './bookmarks-panel.js';
import { valueInWords } from './changes-in-words.js';
import { HistoryPanel } from './history-panel.js';

/** Beside the text on wide pages, below it on narrow ones: what you have, the way so far, kept pages. */
export function SidePanels(props: {
  readonly playthrough: Playthrough;
  readonly busy: boolean;
  readonly onRewind: (toTurn: number) => void;
  readonly onFork: (atTurn: number) => void;
  readonly onKeep: (name: string) => void;
}) {
  const { playthrough, busy } = props;
  const { variables } = playthrough.moment;
  const wide = useState(() => window.matchMedia('(min-width: 64rem)').matches)[0];
  const [history, setHistory] = useState(wide);
  return (
    <>
      {variables.length > 0 && (
        <Panel title="What you have" open={wide} testid="variables">
          <dl className="variables">
            {variables.map(({ name, label, value }) => (
              <div key={name} className={Array.isArray(value) ? 'variable variable-list' : 'variable'}>
                <dt>{label}</dt>
                <dd>{valueInWords(value)}</dd>
              </div>
            ))}
          </dl>
        </Panel>
      )}
      <Panel title="The way so far" open={history} onToggle={setHistory} testid="history-panel">
        <HistoryPanel playthrough={playthrough} open={history} busy={busy} onRewind={props.onRewind} onFork={props.onFork} />
      </Panel>
      <Panel title="Kept pages" open={false} testid="checkpoints-panel">
        <BookmarksPanel playthrough={playthrough} busy={busy} onKeep={props.onKeep} onRewind={props.onRewind} />
      </Panel>
    </>
  );
}

function Panel(props: {
  readonly title: string;
  readonly open: boolean;
  readonly onToggle?: (open: boolean) => void;
  readonly testid: string;
  readonly children: ReactNode;
}) {
  const [open, setOpen] = useState(props.open);
  return (
    <details
      className="panel"
      open={open}
      data-testid={props.testid}
      onToggle={(event) => {
        setOpen(event.currentTarget.open);
        props.onToggle?.(event.currentTarget.open);
      }}
    >
      <summary>
        <h2>{props.title}</h2>
      </summary>
      <div className="panel-body">{props.children}</div>
    </details>
  );
}
