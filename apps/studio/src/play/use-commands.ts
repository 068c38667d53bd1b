import { useCallback, useEffect, useRef, useState } from 'react';
import type { Payload } from '../api/operations.js';
import type { Problem } from '../api/problem.js';
import { isOpen, send, type Command, type Wish } from './commands.js';
import { useServices } from './services.js';
import { newUuid } from './uuid.js';

export interface Commands {
  /** On its way now. */
  readonly pending: Command | undefined;
  /** The last one failed. `retry` exists while sending the same command again can help. */
  readonly failed: { readonly problem: Problem; readonly wish: Wish; readonly retry: (() => void) | undefined } | undefined;
  /** One at a time: a wish while another is pending is dropped, as a second press of the same button should be. */
  readonly submit: (wish: Wish) => void;
  readonly dismiss: () => void;
}

/** Sends wishes one by one. A command whose outcome is open keeps its id; when the browser is online again it is sent again by itself. */
export function useCommands(on: {
  readonly done: (payload: Payload, wish: Wish) => void;
  readonly refused: (problem: Problem, wish: Wish) => void;
}): Commands {
  const { client } = useServices();
  const [pending, setPending] = useState<Command>();
  const [failed, setFailed] = useState<{ readonly problem: Problem; readonly command: Command }>();
  const busy = useRef(false);
  const latest = useRef(on);
  latest.current = on;

  const dispatch = useCallback(
    async (command: Command): Promise<void> => {
      if (busy.current) return;
      busy.current = true;
      setPending(command);
      const outcome = await send(client, command);
      busy.current = false;
      setPending(undefined);
      if (outcome.ok) {
        setFailed(undefined);
        latest.current.done(outcome.payload, command.wish);
        return;
      }
      setFailed({ problem: outcome.problem, command });
      latest.current.refused(outcome.problem, command.wish);
    },
    [client],
  );
  const submit = useCallback((wish: Wish) => void dispatch({ commandId: newUuid(), wish }), [dispatch]);
  const dismiss = useCallback(() => setFailed(undefined), []);

  useEffect(() => {
    if (failed?.problem.code !== 'NETWORK') return undefined;
    const again = (): void => void dispatch(failed.command);
    window.addEventListener('online', again);
    return () => window.removeEventListener('online', again);
  }, [failed, dispatch]);

  return {
    pending,
    failed: failed && {
      problem: failed.problem,
      wish: failed.command.wish,
      retry: isOpen(failed.problem) ? () => void dispatch(failed.command) : undefined,
    },
    submit,
    dismiss,
  };
}
