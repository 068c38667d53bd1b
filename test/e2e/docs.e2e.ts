import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { errorCatalogue } from '#lib/platform';
import { lintRules } from '#lib/story';
import { SOURCE_PROBLEMS } from '#lib/story-formats';
import { commandLineReference } from '../../apps/cli/src/program.js';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { describeWith } from '../support/requirement.js';
import { ServerProcess } from '../support/server-process.js';
import { eventually } from './expectations.js';
import { complaintsOf } from './server-log.js';

jest.setTimeout(90_000);

const ROOT = path.resolve(__dirname, '../..');
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const PAGES: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync(path.join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.join('docs', name)),
];

interface Block {
  readonly language: string;
  readonly text: string;
}
/** Fenced blocks in order. */
function blocksOf(page: string): readonly Block[] {
  return [...read(page).matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({ language, text }));
}
const onPath = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(path.delimiter).some((folder) => existsSync(path.join(folder, program)));

describe('every page', () => {
  test.each(PAGES)('%s links only to what is there', (page) => {
    const missing: string[] = [];
    for (const [, target = ''] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?:|mailto:)/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const there = file === '' ? page : path.join(path.dirname(page), file);
      if (!existsSync(path.join(ROOT, there))) missing.push(target);
      else if (anchor !== undefined && there.endsWith('.md') && !anchorsOf(there).has(anchor)) missing.push(target);
    }
    expect(missing).toEqual([]);
  });

  test('that names a command names one that exists, with options that it has', () => {
    const sections = new Map<string, string>();
    for (const section of commandLineReference()
      .split(/^## fabula /m)
      .slice(1))
      sections.set(section.slice(0, section.indexOf('\n')).trim(), section);
    expect(sections.size).toBeGreaterThan(15);
    const wrong: string[] = [];
    for (const page of PAGES) {
      for (const [line] of read(page).matchAll(/npx fabula (?:(?!npx )[^`\n|)])+/g)) {
        const words = line
          .replace(/ #.*$/, '')
          .split(/\s+/)
          .slice(2)
          .filter((word) => word !== '');
        const name = [3, 2, 1].map((length) => words.slice(0, length).join(' ')).find((candidate) => sections.has(candidate));
        if (name === undefined) {
          // `npx fabula …` speaks of all of them.
          if (words[0] !== '…') wrong.push(`${page}: ${line}`);
          continue;
        }
        const section = sections.get(name) as string;
        for (const word of words.slice(name.split(' ').length)) {
          const option = /^--[a-z-]+/.exec(word)?.[0];
          if (option !== undefined && !section.includes(option)) wrong.push(`${page}: ${name} has no ${option}`);
        }
        const usage = /^fabula .*$/m.exec(section.slice(section.indexOf('```text')))?.[0] ?? '';
        const takesMore = /<|\[(?!options)/.test(usage.replace(`fabula ${name}`, ''));
        const rest = words.slice(name.split(' ').length).filter((word) => /^[a-z]+$/.test(word));
        if (!takesMore && rest.length > 0 && !words.some((word) => word.startsWith('-')))
          wrong.push(`${page}: ${name} takes no ${rest.join(' ')}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('of a lint code or an error code is there, and says something', () => {
    const codes = [...lintRules.map(({ code }) => code), ...Object.values(SOURCE_PROBLEMS)];
    for (const code of codes) {
      const page = read(`docs/reference/lint/${code}.md`);
      expect(page).toContain(code);
      expect(page.length).toBeGreaterThan(150);
      expect(read('docs/reference/lint/README.md')).toContain(code);
    }
    const errors = read('docs/reference/errors.md');
    for (const code of Object.keys(errorCatalogue)) expect(errors).toContain(`## ${code}`);
  });
});

describe('the README', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  beforeAll(async () => {
    database = await createTestDatabase();
    server = await ServerProcess.start({ databaseUrl: database.url, env: { FABULA_CHECKPOINT_INTERVAL_MS: '100' } });
  });
  afterAll(async () => {
    expect(complaintsOf(server)).toEqual([]);
    await server.stop();
    await database.drop();
  });

  test('shows requests that work, and the answers that they get', async () => {
    const reader = new ApiClient(server.url, await server.token(['reader']));
    const blocks = blocksOf('README.md');
    let playthroughId: string | undefined;
    let executed = 0;
    let answer: unknown;
    for (const { language, text } of blocks) {
      if (language === 'graphql') {
        answer = await reader.graphql(text, text.includes('$playthroughId') ? { playthroughId } : {});
        expect(answer).not.toHaveProperty('errors');
        playthroughId ??= (answer as { data: { startPlaythrough: { playthrough: { id: string } } } }).data.startPlaythrough.playthrough.id;
        executed++;
      }
      if (language === 'json') expect(shortened(answer, JSON.parse(text))).toEqual(JSON.parse(text));
    }
    expect(executed).toBe(2);
    // Sent again it is the same command, as the page says.
    const [, choose] = blocks.filter(({ language }) => language === 'graphql');
    expect(await reader.graphql(choose?.text ?? '', { playthroughId })).toMatchObject({ data: { choose: { duplicate: true } } });
  });

  test('exports a proof and verifies it with the commands that it shows', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'fabula-docs-'));
    try {
      const commands = blocksOf('README.md')
        .filter(({ language }) => language === 'sh')
        .flatMap(({ text }) => text.split('\n'))
        .filter((line) => line.startsWith('npx fabula audit'));
      expect(commands).toHaveLength(2);
      await eventually(async () => {
        const compliance = new ApiClient(server.url, await server.token(['compliance']));
        return (await compliance.rest('GET', '/audit/logs/root/checkpoint')).status === 200 ? true : undefined;
      }, 'something is signed');
      for (const line of commands) {
        const [, , ...words] = line.replace(/ #.*$/, '').trim().split(/\s+/);
        expect(() => fabula(words, folder, server.dataDir)).not.toThrow();
      }
      expect(existsSync(path.join(folder, 'proof.tar'))).toBe(true);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describeWith('curl', onPath('curl') && onPath('bash'), 'bash or curl is not on the PATH', 'the tutorial', () => {
  test('leads from an empty file to a published story, with the words that it promises', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'fabula-tutorial-'));
    const database = await createTestDatabase();
    const server = await ServerProcess.start({ databaseUrl: database.url });
    try {
      const bin = path.join(folder, 'bin');
      mkdirSync(bin);
      // `npx fabula` of a clone that is installed and built.
      writeFileSync(path.join(bin, 'npx'), `#!/bin/sh\nshift\nexec "${process.execPath}" "${ROOT}/dist/apps/cli/src/main.js" "$@"\n`);
      chmodSync(path.join(bin, 'npx'), 0o755);
      const MARK = '=== block';
      const script = ['set -e'];
      const promised: string[][] = [];
      for (const { language, text } of blocksOf('docs/tutorials/first-story.md')) {
        if (language === 'yaml') script.push(`cat > night-market.yaml <<'END OF STORY'\n${text}END OF STORY`);
        if (language === 'sh') {
          promised.push([]);
          script.push(`printf '\\n${MARK}\\n'`, text.replaceAll('http://127.0.0.1:8080', server.url));
        }
        if (language === 'text') promised.at(-1)?.push(...text.split('\n').filter((line) => line !== ''));
      }
      const output = execFileSync('bash', ['-c', script.join('\n')], {
        cwd: folder,
        encoding: 'utf8',
        env: { ...process.env, PATH: `${bin}${path.delimiter}${process.env['PATH']}`, FABULA_DATA_DIR: server.dataDir, NO_COLOR: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const said = output.split(MARK).slice(1);
      expect(said).toHaveLength(promised.length);
      promised.forEach((lines, index) => {
        for (const line of lines) expect(said[index]).toContain(line);
      });
      expect(promised.flat().length).toBeGreaterThan(12);
      expect(complaintsOf(server)).toEqual([]);
    } finally {
      await server.stop();
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

function fabula(words: readonly string[], cwd: string, dataDir: string): string {
  return execFileSync(process.execPath, [path.join(ROOT, 'dist/apps/cli/src/main.js'), ...words], {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, FABULA_DATA_DIR: dataDir },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** GitHub's anchors of a page's headings. */
function anchorsOf(page: string): ReadonlySet<string> {
  const headings = [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** What of an answer a page shows: objects by the fields that stand there, lists by their members with the same id. */
function shortened(answer: unknown, shown: unknown): unknown {
  if (Array.isArray(shown) && Array.isArray(answer)) {
    return shown.map((member: unknown) => {
      const { id } = member as { id?: unknown };
      return shortened(
        answer.find((one) => (one as { id?: unknown }).id === id),
        member,
      );
    });
  }
  if (typeof shown !== 'object' || shown === null || typeof answer !== 'object' || answer === null) return answer;
  return Object.fromEntries(Object.entries(shown).map(([key, value]) => [key, shortened((answer as Record<string, unknown>)[key], value)]));
}
