import type { Problem } from '../api/problem.js';
import { plainWords } from './plain-words.js';

/** A problem in plain words, where it matters, with what can be done about it. */
export function ProblemNotice(props: {
  readonly problem: Problem;
  readonly busy?: boolean;
  readonly retry?: (() => void) | undefined;
  readonly dismiss?: (() => void) | undefined;
}) {
  const { problem, retry, dismiss } = props;
  const { title, text } = plainWords(problem);
  const mild = problem.code === 'TURN_STALE';
  return (
    <div className={mild ? 'notice notice-mild' : 'notice'} role={mild ? 'status' : 'alert'} data-testid="problem" data-code={problem.code}>
      <p className="notice-title">{title}</p>
      <p>{text}</p>
      {problem.code === 'INTERNAL' && problem.correlationId !== undefined && (
        <p className="notice-trace">
          If you report it, name this number: <code>{problem.correlationId}</code>
        </p>
      )}
      {(retry ?? dismiss) !== undefined && (
        <p className="notice-actions">
          {retry && (
            <button type="button" className="button" onClick={retry} disabled={props.busy} data-testid="retry">
              {props.busy ? 'Trying…' : 'Try again'}
            </button>
          )}
          {dismiss && (
            <button type="button" className="button button-plain" onClick={dismiss}>
              {mild ? 'I see' : 'Close'}
            </button>
          )}
        </p>
      )}
    </div>
  );
}

export function Loading(props: { readonly words: string }) {
  return (
    <div className="loading" role="status" data-testid="loading">
      <p>{props.words}</p>
      <div className="loading-lines" aria-hidden="true">
        <i />
        <i />
        <i />
        <i />
        <i />
      </div>
    </div>
  );
}
