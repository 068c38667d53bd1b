import { useEffect, useRef, useState } from 'react';
import { useServices } from './services.js';

const TICK_MS = 200;
/** Said aloud when this many seconds are left: enough to act on, too few to talk over the text. */
const SPOKEN_AT = [30, 10, 5];
/** After the deadline the server takes the timed choice within its grace and sweep; asked this often until it has. */
const ASK_AFTER_MS = [400, 1_000, 2_000, 4_000, 8_000];

/** Time left until the timed choice is taken, by the server's clock. */
export function Deadline(props: { readonly at: string; readonly onDue: () => void }) {
  const { client } = useServices();
  const end = Date.parse(props.at);
  const [left, setLeft] = useState(() => Math.max(0, end - client.serverNow()));
  const [whole] = useState(() => Math.max(1, left));
  const [spoken, setSpoken] = useState('');
  const due = useRef(props.onDue);
  due.current = props.onDue;

  useEffect(() => {
    let lastSecond = Number.POSITIVE_INFINITY;
    const tick = (): void => {
      const rest = Math.max(0, end - client.serverNow());
      setLeft(rest);
      const second = Math.ceil(rest / 1000);
      const said = SPOKEN_AT.find((mark) => second <= mark && lastSecond > mark && second > mark - 2);
      if (said !== undefined) setSpoken(`${second} seconds left`);
      lastSecond = second;
    };
    tick();
    const timer = setInterval(tick, TICK_MS);
    const asks = ASK_AFTER_MS.map((after) => setTimeout(() => due.current(), Math.max(0, end - client.serverNow()) + after));
    return () => {
      clearInterval(timer);
      for (const ask of asks) clearTimeout(ask);
    };
  }, [client, end]);

  const seconds = Math.ceil(left / 1000);
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  return (
    <div className={seconds <= 10 ? 'deadline deadline-near' : 'deadline'} data-testid="deadline">
      <p aria-hidden="true">
        <span className="deadline-words">{left > 0 ? 'Time to decide' : 'Time is up'}</span>
        <span className="deadline-clock">{left > 0 ? clock : ''}</span>
      </p>
      <progress max={whole} value={left} aria-label="Time to decide" />
      <p className="unseen" aria-live="polite">
        {left > 0 ? spoken : 'Time is up.'}
      </p>
    </div>
  );
}
