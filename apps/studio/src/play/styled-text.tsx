import { Fragment } from 'react';
import { paragraphsOf, runsOf } from './emphasis.js';

/** One line of a story's text: text nodes and emphasis only, whatever stands in it. */
export function StyledLine({ text }: { readonly text: string }) {
  return runsOf(text).map((run, index) =>
    run.emphasis === 'none' ? (
      <Fragment key={index}>{run.text}</Fragment>
    ) : run.emphasis === 'em' ? (
      <em key={index}>{run.text}</em>
    ) : (
      <strong key={index}>{run.text}</strong>
    ),
  );
}

export function StyledText({ text }: { readonly text: string }) {
  return paragraphsOf(text).map((paragraph, index) => (
    <p key={index}>
      <StyledLine text={paragraph} />
    </p>
  ));
}
