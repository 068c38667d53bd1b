import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';
import { METRICS, type MetricEntry } from '../../apps/server/src/metrics-catalogue.js';
import { NodeMetrics } from '../../apps/server/src/metrics.js';
import { describeWith } from '../support/requirement.js';

const ROOT = path.resolve(__dirname, '../..');
const read = (name: string): string => fs.readFileSync(path.join(ROOT, name), 'utf8');

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}
interface Panel {
  readonly id: number;
  readonly title: string;
  readonly description: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly targets: readonly { readonly refId: string; readonly expr: string }[];
}
interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
}

const rules = (parse(read('deploy/prometheus/rules.yaml')) as { groups: readonly { rules: readonly Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const alerts = rules.filter((rule) => rule.alert !== undefined);
const files = fs.readdirSync(path.join(ROOT, 'deploy/grafana')).filter((name) => name.endsWith('.json'));
const dashboards = files.map((name) => [name, JSON.parse(read(`deploy/grafana/${name}`)) as Dashboard] as const);

/** Labels that Prometheus itself puts on what it scrapes. */
const SCRAPED = ['instance', 'job'];

/** What an expression names: metrics with the labels that are matched on them, labels that are grouped by; whether it parses. */
function namesIn(expr: string): {
  readonly metrics: readonly { name: string; labels: string[] }[];
  readonly groups: string[];
  readonly valid: boolean;
} {
  const metrics: { name: string; labels: string[] }[] = [];
  const groups: string[] = [];
  let valid = expr.trim() !== '';
  const textOf = ({ from, to }: SyntaxNode): string => expr.slice(from, to);
  parser.parse(expr).iterate({
    enter({ node }) {
      if (node.type.isError) valid = false;
      if (node.name === 'VectorSelector') {
        const name = node.getChild('Identifier');
        const labels: string[] = [];
        node
          .getChild('LabelMatchers')
          ?.cursor()
          .iterate((inner) => {
            if (inner.name === 'LabelName') labels.push(expr.slice(inner.from, inner.to));
          });
        metrics.push({ name: name === null ? '' : textOf(name), labels });
      }
      if (node.name === 'GroupingLabels') groups.push(...node.getChildren('LabelName').map(textOf));
    },
  });
  return { metrics, groups, valid };
}

/** Names that a scrape of a real process gives, with their labels; the catalogue is compared with a running server in metrics.e2e.ts. */
async function scraped(): Promise<ReadonlyMap<string, readonly string[]>> {
  const known = new Map<string, readonly string[]>([['up', []]]);
  for (const [name, { kind, labels }] of Object.entries<MetricEntry>(METRICS)) {
    if (kind !== 'histogram') known.set(name, labels);
    else
      for (const [suffix, more] of [
        ['_bucket', ['le']],
        ['_count', []],
        ['_sum', []],
      ] as const)
        known.set(name + suffix, [...labels, ...more]);
  }
  // The process' own metrics, as prom-client prints them.
  for (const [, name = ''] of (await new NodeMetrics().registry.metrics()).matchAll(/^((?:process|nodejs)_\w+)(?:\{[^}]*\})? /gm))
    known.set(name, []);
  return known;
}

function problemsOf(expr: string, known: ReadonlyMap<string, readonly string[]>): string[] {
  const { metrics, groups, valid } = namesIn(expr);
  const problems = valid ? [] : ['cannot be parsed'];
  const available = new Set(SCRAPED);
  for (const { name, labels } of metrics) {
    const has = known.get(name);
    if (has === undefined) problems.push(`there is no metric ${name}`);
    for (const label of has ?? []) available.add(label);
    for (const label of labels)
      if (has !== undefined && ![...has, ...SCRAPED].includes(label)) problems.push(`${name} has no label ${label}`);
  }
  for (const label of groups) if (!available.has(label)) problems.push(`nothing here has the label ${label}`);
  return problems;
}

describe('rules and dashboards', () => {
  let known: Map<string, readonly string[]>;
  beforeAll(async () => {
    known = new Map(await scraped());
    // Recorded series have the labels that their expression keeps.
    for (const { record, expr } of rules) if (record !== undefined) known.set(record, namesIn(expr).groups);
  });

  test('the checks find what is wrong', () => {
    expect(problemsOf('rate(fabula_commands_total[5m]', known)).toEqual(['cannot be parsed']);
    expect(problemsOf('fabula_comands_total', known)).toEqual(['there is no metric fabula_comands_total']);
    expect(problemsOf('fabula_commands_total{verdict="accepted"}', known)).toEqual(['fabula_commands_total has no label verdict']);
    expect(problemsOf('sum by (partition) (fabula_parked_streams)', known)).toEqual(['nothing here has the label partition']);
    expect(problemsOf('fabula_command_seconds', known)).toEqual(['there is no metric fabula_command_seconds']);
  });

  test.each(rules.map((rule) => [rule.record ?? rule.alert ?? '?', rule.expr] as const))(
    '%s asks only for what a server tells',
    (_name, expr) => {
      expect(problemsOf(expr, known)).toEqual([]);
    },
  );

  test.each(alerts.map((rule) => [rule.alert ?? '', rule] as const))(
    '%s says what it is, how grave, and what to do, and is tested',
    (name, rule) => {
      const { summary, description, runbook_url: runbook = '' } = rule.annotations ?? {};
      expect([summary, description].every((text) => text !== undefined && text.length > 10)).toBe(true);
      expect(['page', 'ticket']).toContain(rule.labels?.['severity']);
      const [file = '', anchor = ''] = runbook.split('#');
      const headings = [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => (heading ?? '').toLowerCase().replaceAll(' ', '-'));
      expect(headings).toContain(anchor);
      const tests = read('deploy/prometheus/rules.test.yaml');
      const fires = tests.split('alertname: ').some((part) => part.startsWith(`${name}\n`) && /^\S+\n\s+exp_alerts:\n/.test(part));
      expect([name, fires]).toEqual([name, true]);
    },
  );

  test.each(dashboards)(
    '%s is a whole dashboard, and each panel asks only for what a server tells',
    (_name, { uid, title, schemaVersion, panels }) => {
      expect([uid, title, schemaVersion]).toEqual([
        expect.stringMatching(/^fabula-/),
        expect.stringMatching(/^Fabula: /),
        expect.any(Number),
      ]);
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
      for (const panel of panels) {
        const { gridPos, targets } = panel;
        expect([panel.title, panel.description.length > 3, panel.fieldConfig.defaults.unit !== '', targets.length > 0]).toEqual([
          panel.title,
          true,
          true,
          true,
        ]);
        expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
        for (const { expr } of targets) expect([panel.title, problemsOf(expr, known)]).toEqual([panel.title, []]);
        const overlapping = panels.filter(
          (other) =>
            other !== panel &&
            other.gridPos.x < gridPos.x + gridPos.w &&
            gridPos.x < other.gridPos.x + other.gridPos.w &&
            other.gridPos.y < gridPos.y + gridPos.h &&
            gridPos.y < other.gridPos.y + other.gridPos.h,
        );
        expect([panel.title, overlapping.map((other) => other.title)]).toEqual([panel.title, []]);
      }
    },
  );

  test('no two dashboards have one uid', () => {
    expect(new Set(dashboards.map(([, { uid }]) => uid)).size).toBe(dashboards.length);
  });
});

/** As `node scripts/promtool.mjs` builds it, or as it is installed. */
function promtool(): string | undefined {
  const cache = path.join(ROOT, '.cache/promtool');
  const built = fs.existsSync(cache) ? fs.readdirSync(cache).map((version) => path.join(cache, version, 'promtool')) : [];
  for (const candidate of [process.env['PROMTOOL'], ...built, 'promtool']) {
    if (candidate === undefined) continue;
    try {
      execFileSync(candidate, ['--version'], { stdio: 'ignore' });
      return candidate;
    } catch {
      // Not this one: the next is tried, and with none the tests say that they were skipped.
    }
  }
  return undefined;
}

const tool = promtool();
describeWith('promtool', tool !== undefined, 'promtool is not here: `node scripts/promtool.mjs` builds it (needs Go)', 'promtool', () => {
  const run = (...args: string[]): string =>
    execFileSync(tool as string, args, { cwd: path.join(ROOT, 'deploy/prometheus'), encoding: 'utf8' });

  test('finds the rules well-formed', () => {
    expect(run('check', 'rules', 'rules.yaml')).toMatch(/SUCCESS: \d+ rules found/);
  });

  test('sees each alert fire when it should and not otherwise', () => {
    expect(run('test', 'rules', 'rules.test.yaml')).toContain('SUCCESS');
  });

  test('takes what a process prints for metrics', async () => {
    const metrics = new NodeMetrics();
    metrics.command('choose', 'accepted', 3);
    metrics.appended('stored', 0.002);
    const text = await metrics.registry.metrics();
    expect(execFileSync(tool as string, ['check', 'metrics', '--extended', '--lint=none'], { input: text, encoding: 'utf8' })).toMatch(
      /fabula_commands_total +1 /,
    );
  });
});
