import { useEffect, useRef } from 'react';
import type { Offer } from '../api/playthrough-types.js';
import { StyledLine } from './styled-text.js';

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName));

/**
 * The offers as buttons; the keys 1–9 press them. A locked one stays focusable and says why, because "not yet" is part of the story.
 */
export function Choices(props: {
  readonly offers: readonly Offer[];
  readonly pending: string | undefined;
  readonly busy: boolean;
  readonly onChoose: (offer: Offer) => void;
  readonly onLocked: (offer: Offer) => void;
}) {
  const { offers, busy } = props;
  const list = useRef<HTMLOListElement>(null);
  const press = (offer: Offer): void => {
    if (!offer.enabled) props.onLocked(offer);
    else if (!busy) props.onChoose(offer);
  };
  const latest = useRef(press);
  latest.current = press;

  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || isTyping(event.target) || !/^[1-9]$/.test(event.key)) return;
      const index = Number(event.key) - 1;
      const offer = offers[index];
      if (offer === undefined) return;
      list.current?.querySelectorAll('button')[index]?.focus();
      latest.current(offer);
    };
    window.addEventListener('keydown', pressed);
    return () => window.removeEventListener('keydown', pressed);
  }, [offers]);

  return (
    <section className="choices" aria-label="What do you do?" aria-busy={busy}>
      <ol ref={list}>
        {offers.map((offer, index) => {
          const reason = `reason-${index}`;
          const kind = offer.kind === 'STORYLET' ? ' choice-storylet' : '';
          const state = props.pending === offer.id ? ' choice-pending' : '';
          return (
            <li key={offer.id}>
              <button
                type="button"
                className={`choice${kind}${state}`}
                data-testid={`choice-${offer.id}`}
                aria-disabled={!offer.enabled || busy}
                aria-keyshortcuts={index < 9 ? String(index + 1) : undefined}
                aria-describedby={offer.enabled ? undefined : reason}
                onClick={() => press(offer)}
              >
                <span className="choice-key" aria-hidden="true">
                  {offer.enabled ? index < 9 ? index + 1 : '·' : <Lock />}
                </span>
                <span className="choice-words">
                  <span className="choice-label">
                    <StyledLine text={offer.label} />
                  </span>
                  {!offer.enabled && (
                    <span className="choice-reason" id={reason}>
                      <span className="unseen">Locked. </span>
                      {offer.reason ?? 'Not possible at the moment.'}
                    </span>
                  )}
                </span>
              </button>
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function Lock() {
  return (
    <svg className="choice-lock" viewBox="0 0 16 16" width="14" height="14">
      <path d="M5 7V5a3 3 0 0 1 6 0v2" />
      <rect x="3.5" y="7" width="9" height="6.5" rx="1.5" />
    </svg>
  );
}
