import { RETENTION_CLASSES } from '#lib/compliance';

/** docs/reference/retention.md */
export function retentionReference(): string {
  const classes = RETENTION_CLASSES.map(
    ({ name, purpose, keepDays, mustEnd, streams }) =>
      `| \`${name}\` | ${streams === null ? 'records without effect' : `accepted records of \`${streams}/…\``} | ${purpose} | ${keepDays === null ? 'without an end' : `${keepDays} days`} | ${mustEnd ? 'yes' : 'no'} |`,
  );
  const events = RETENTION_CLASSES.flatMap(({ name, events: types }) =>
    Object.entries(types).map(([type, purpose]) => `| \`${type}\` | \`${name}\` | ${purpose} |`),
  );
  return `<!-- Generated from the table of retention classes (\`npm run generate\`). -->

# Retention

How long what is recorded is kept, and for what. The days hold until two people set others (\`set-retention\`); time runs from when the log took
the record. Fabula asks nobody's age: whoever plays may be a child, so every class that tells of readers has an end, and cannot be set to have none. A record that had no effect is a retry, a
conflict, or something that cannot be read.

| class | what | purpose | kept, by default | must end |
| --- | --- | --- | --- | --- |
${classes.join('\n')}

| event | class | recorded for |
| --- | --- | --- |
${events.join('\n')}

What happens when the time is over, and what stays: [Prune what is no longer kept](../how-to/prune.md).
`;
}
