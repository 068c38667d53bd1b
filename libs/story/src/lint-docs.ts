import { lintRules, type LintRule } from './lint-rules.js';

/** Documentation of all findings: one page per code and an index. Paths are relative to the repository. */
export function lintDocs(): readonly { readonly path: string; readonly markdown: string }[] {
  return [
    { path: 'docs/reference/lint/README.md', markdown: indexPage() },
    ...lintRules.map((rule) => ({ path: `docs/reference/lint/${rule.code}.md`, markdown: page(rule) })),
  ];
}

const groups = [
  ['FAB-G0', 'Form and types', 'Found at import. A story with one of these errors is not taken in.'],
  ['FAB-G1', 'References', 'Drafts may have them; a story is published only without errors.'],
  [
    'FAB-G2',
    'What play can reach',
    'Found by analysis over declared bounds and what effects can assign; a “never” or “always” is proved, not guessed.',
  ],
  ['FAB-G9', 'Source text', 'Found while the file is read, before there is a story; with line and column.'],
] as const;

function indexPage(): string {
  const sections = groups.map(([prefix, title, intro]) => {
    const rows = lintRules
      .filter((rule) => rule.code.startsWith(prefix))
      .map((rule) => `| [${rule.code}](${rule.code}.md) | ${rule.title} | ${rule.severity} |`);
    return `## ${title}\n\n${intro}\n\n| Code | Finding | Severity |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
  });
  return `# Findings of import and lint\n\n<!-- Generated from libs/story/src/lint-rules.ts. -->\n\nCodes are stable: none is ever given another meaning.\n\n${sections.join('\n')}`;
}

function page(rule: LintRule): string {
  return `# ${rule.code}: ${rule.title}

<!-- Generated from libs/story/src/lint-rules.ts. -->

**Severity:** ${rule.severity}

${rule.why}

## Example

\`\`\`yaml
${rule.example}
\`\`\`

## What to do

${rule.remedy}
`;
}
