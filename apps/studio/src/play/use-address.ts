import { useCallback, useEffect, useState } from 'react';

const playthroughInAddress = (): string | undefined => new URLSearchParams(location.search).get('p') ?? undefined;

export const addressOf = (playthroughId: string | undefined): string =>
  playthroughId === undefined ? '/play' : `/play?p=${encodeURIComponent(playthroughId)}`;

/** The open playthrough lives in the address (`/play?p=…`), so that a reload, a bookmark and the back button find it. */
export function useAddress(): readonly [playthroughId: string | undefined, open: (playthroughId: string | undefined) => void] {
  const [id, setId] = useState(playthroughInAddress);
  useEffect(() => {
    const moved = (): void => setId(playthroughInAddress());
    window.addEventListener('popstate', moved);
    return () => window.removeEventListener('popstate', moved);
  }, []);
  const open = useCallback((playthroughId: string | undefined) => {
    history.pushState(null, '', addressOf(playthroughId));
    setId(playthroughId);
    window.scrollTo(0, 0);
  }, []);
  return [id, open];
}
