import { useCallback, useEffect, useRef, useState } from 'react';
import { onePlaythrough } from '../api/operations.js';
import { watchPlaythrough, type FeedState } from '../api/playthrough-feed.js';
import type { Playthrough } from '../api/playthrough-types.js';
import { asProblem, Problem } from '../api/problem.js';
import { useServices } from './services.js';

export interface ShownPlaythrough {
  readonly playthrough: Playthrough | undefined;
  readonly problem: Problem | undefined;
  readonly feed: FeedState;
  /** Takes an answer; an older one than what is shown is ignored. */
  readonly take: (playthrough: Playthrough) => void;
  readonly refresh: () => Promise<void>;
}

/** One playthrough as the server knows it: asked for once, then watched. Answers may overtake each other; the latest turn wins. */
export function usePlaythrough(id: string, given: Playthrough | undefined): ShownPlaythrough {
  const { client, tokens } = useServices();
  const [playthrough, setPlaythrough] = useState<Playthrough | undefined>(given?.id === id ? given : undefined);
  const [problem, setProblem] = useState<Problem>();
  const [feed, setFeed] = useState<FeedState>('live');
  const alive = useRef(true);

  const take = useCallback(
    (next: Playthrough) => {
      if (next.id !== id) return;
      setProblem(undefined);
      setPlaythrough((shown) => (shown !== undefined && isOlder(next, shown) ? shown : next));
    },
    [id],
  );
  const refresh = useCallback(async () => {
    try {
      const answer = await client.run(onePlaythrough, { id });
      if (!alive.current) return;
      if (answer.playthrough === null) setProblem(new Problem('PLAYTHROUGH_NOT_FOUND', id, false));
      else take(answer.playthrough);
    } catch (error) {
      if (alive.current) setProblem(asProblem(error));
    }
  }, [client, id, take]);

  useEffect(() => {
    alive.current = true;
    if (given?.id !== id) void refresh();
    const stop = watchPlaythrough(id, tokens, { playthrough: take, state: setFeed });
    return () => {
      alive.current = false;
      stop();
    };
    // `given` only spares the first request after a start; later ones are of no interest.
  }, [id, tokens, take, refresh]);

  return { playthrough, problem, feed, take, refresh };
}

const isOlder = (next: Playthrough, shown: Playthrough): boolean =>
  next.turn < shown.turn || (next.turn === shown.turn && next.checkpoints.length < shown.checkpoints.length);
