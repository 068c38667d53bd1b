import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { freePort } from '#lib/platform';
import { ApiClient } from '../support/api-client.js';
import { describeWith } from '../support/requirement.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { publishStory } from './publish-story.js';
import { complaintsOf } from './server-log.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(90_000);

const CHROMIUM = process.env['FABULA_TEST_CHROMIUM'] ?? '/usr/bin/chromium';
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const STORY = 'three-doors';

describeWith(
  'browser',
  existsSync(CHROMIUM),
  `there is no Chromium at ${CHROMIUM} (FABULA_TEST_CHROMIUM names another)`,
  'the player',
  () => {
    let dataDir: string;
    let port: number;
    let server: ServerProcess;
    let browser: Browser;
    let context: BrowserContext;
    let page: Page;
    /** What the browser complained of; a server that is away is not the page's fault and is taken out by the test that does it. */
    let complaints: string[] = [];

    const startServer = (): Promise<ServerProcess> => ServerProcess.start({ dataDir, env: { PORT: String(port) } });
    const watched = async (opened: Page): Promise<Page> => {
      opened.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') complaints.push(`${message.type()}: ${message.text()}`);
      });
      opened.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
      // Scripts for the browser are text: this program's types know no document.
      await opened.addInitScript({
        content: `document.addEventListener('securitypolicyviolation', (event) =>
          window.reportError(new Error('policy: ' + event.violatedDirective + ' ' + event.blockedURI)));`,
      });
      return opened;
    };

    beforeAll(async () => {
      dataDir = await temporaryDataDir();
      port = await freePort();
      server = await startServer();
      await publishStory(new ApiClient(server.url, await server.token(['author'])), threeDoors(STORY));
      browser = await chromium.launch({
        executablePath: CHROMIUM,
        args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync', '--no-first-run'],
      });
    });
    beforeEach(async () => {
      complaints = [];
      context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
      page = await watched(await context.newPage());
      page.setDefaultTimeout(10_000);
    });
    afterEach(async () => {
      await context.close();
      expect(complaints).toEqual([]);
      expect(complaintsOf(server)).toEqual([]);
    });
    afterAll(async () => {
      await browser?.close();
      await server?.stop();
      await rm(dataDir, { recursive: true, force: true });
    });

    const at = (turn: number, on = page): Promise<void> =>
      on.waitForSelector(`[data-testid=passage][data-turn="${turn}"]`).then(() => undefined);
    const choose = async (id: string, turn: number, on = page): Promise<void> => {
      await on.getByTestId(`choice-${id}`).click();
      await at(turn, on);
    };
    const begin = async (on = page): Promise<void> => {
      await on.goto(`${server.url}/play`);
      await on.getByTestId(`start-${STORY}`).click();
      await at(0, on);
    };
    const title = (on = page): Promise<string> => on.getByTestId('passage').locator('h1').innerText();

    test('leads by mouse from the library to an ending, and explains a locked choice', async () => {
      await page.goto(`${server.url}/play`);
      await page.getByTestId('story-list').waitFor();
      expect(await page.getByTestId('story-list').getByRole('listitem').count()).toBe(3);
      await page.getByTestId(`start-${STORY}`).click();
      await at(0);
      expect(await title()).toBe('The hall');
      const locked = page.getByTestId('choice-gate');
      expect(await locked.getAttribute('aria-disabled')).toBe('true');
      expect(await locked.innerText()).toContain('It is locked.');
      // A mouse may press what is locked; playwright alone would wait for it to be unlocked.
      await locked.click({ force: true });
      await page.getByTestId('announcement').getByText('Locked. It is locked.').waitFor();
      await at(0);
      await choose('take', 1);
      await page.locator('[data-testid=choice-gate][aria-disabled=false]').waitFor();
      await choose('gate', 2);
      await choose('leave', 3);
      await page.getByTestId('ending').getByText('Out', { exact: true }).waitFor();
      await page.getByTestId('to-library').click();
      await page.getByTestId('continue-list').getByText('Finished').waitFor();
    });

    test('leads to an ending by keyboard alone', async () => {
      await page.goto(`${server.url}/play`);
      await page.getByTestId('story-list').waitFor();
      const focused = (): Promise<string | null> =>
        page.evaluate<string | null>(`document.activeElement?.getAttribute('data-testid') ?? null`);
      for (let n = 0; n < 30 && (await focused()) !== 'start-the-cloakroom'; n++) await page.keyboard.press('Tab');
      expect(await focused()).toBe('start-the-cloakroom');
      await page.keyboard.press('Enter');
      await at(0);
      for (let turn = 0; turn < 60; turn++) {
        if ((await page.getByTestId('ending').count()) > 0) break;
        await page.locator('section.choices[aria-busy=false]').waitFor();
        const buttons = page.locator('section.choices button');
        const open: number[] = [];
        for (let n = 0; n < (await buttons.count()); n++)
          if ((await buttons.nth(n).getAttribute('aria-disabled')) === 'false') open.push(n);
        // The last open choice: it leads to the cupboard, and out of the story.
        await page.keyboard.press(String((open.at(turn === 0 ? -1 : 0) ?? 0) + 1));
        await at(turn + 1);
        // A reader who listens is told where they are: focus is on the new passage's heading.
        await page.locator('h1:focus').waitFor();
      }
      await page.getByTestId('ending').waitFor();
      for (let n = 0; n < 30 && (await focused()) !== 'again'; n++) await page.keyboard.press('Tab');
      expect(await focused()).toBe('again');
      await page.keyboard.press('Enter');
      await at(0);
    });

    test('shows the way so far, goes back, keeps a page, tries a what-if, and resumes after a reload', async () => {
      await begin();
      await choose('take', 1);
      await choose('wait', 2);
      await choose('wait', 3);
      const history = page.getByTestId('history');
      await history.getByTestId('turn-3').waitFor();
      const turns = await history
        .locator('li[data-testid^=turn-]')
        .evaluateAll((lines) => lines.map((line) => line.getAttribute('data-testid')));
      expect(turns).toEqual(['turn-3', 'turn-2', 'turn-1', 'turn-0']);

      await page.getByTestId('checkpoints-panel').locator('summary').click();
      await page.getByTestId('checkpoint-name').fill('With the key');
      await page.getByTestId('checkpoint-set').click();
      await page.getByTestId('checkpoints').getByRole('paragraph').getByText('With the key').first().waitFor();

      await page.getByTestId('turn-back-2').click();
      await page.getByTestId('rewind-1').click();
      await at(4);
      await page.getByTestId('turn-back-3').click();
      await page.getByTestId('fork-2').click();
      await page.getByTestId('what-if').waitFor();
      await at(2);
      await choose('gate', 3);
      const address = page.url();
      const before = await title();
      await page.reload();
      await at(3);
      expect([page.url(), await title()]).toEqual([address, before]);
      await page.getByTestId('what-if').getByRole('link').click();
      await at(4);
      await page.getByTestId('checkpoints-panel').locator('summary').click();
      await page.getByTestId('checkpoints').getByRole('paragraph').getByText('With the key').first().waitFor();
    });

    test('moves in one tab when the reader chooses in another', async () => {
      await begin();
      const other = await watched(await context.newPage());
      await other.goto(page.url());
      await at(0, other);
      await choose('take', 1, other);
      await at(1);
      await choose('gate', 2);
      await at(2, other);
      expect(await title(other)).toBe('The yard');
    });

    test('shows a deadline and what came of it', async () => {
      await begin();
      await choose('take', 1);
      await choose('trapdoor', 2);
      await page.getByTestId('deadline').waitFor();
      await at(3);
      await page.getByTestId('ending').getByText('Too late').waitFor();
    });

    test('says plainly that the server is away, and goes on when it is back', async () => {
      await begin();
      await choose('take', 1);
      await server.kill();
      const problem = page.locator('#main').getByTestId('problem');
      try {
        await page.getByText('reconnecting…').waitFor();
        await page.getByTestId('choice-wait').click();
        await problem.waitFor();
        expect(await problem.getAttribute('data-code')).toBe('NETWORK');
        expect(await problem.innerText()).toContain('never counts twice');
      } finally {
        server = await startServer();
      }
      await problem.getByTestId('retry').click();
      await at(2);
      expect(await problem.count()).toBe(0);
      await page.getByText('reconnecting…').waitFor({ state: 'detached', timeout: 25_000 });
      await choose('gate', 3);
      complaints = complaints.filter((complaint) => !/net::ERR_|WebSocket connection/.test(complaint));
    });

    test("tells a reader nothing of somebody else's page, nor of one that is not there", async () => {
      await begin();
      const address = page.url();
      const strangers = await browser.newContext();
      try {
        const stranger = await watched(await strangers.newPage());
        await stranger.goto(address);
        await stranger.getByTestId('problem').waitFor();
        expect(await stranger.getByTestId('problem').getAttribute('data-code')).toBe('PLAYTHROUGH_NOT_FOUND');
        expect(await stranger.content()).not.toContain('The hall');
      } finally {
        await strangers.close();
      }
    });

    describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
      test.each([320, 1280])('has no serious finding of axe on library, story and ending at %i px', async (width) => {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await page.setViewportSize({ width, height: 800 });
        const check = async (where: string): Promise<void> => {
          await page.evaluate(AXE);
          const found = await page.evaluate<readonly { id: string; impact: string; where: readonly string[] }[]>(
            `axe.run().then(({ violations }) => violations.map(({ id, impact, nodes }) =>
              ({ id, impact, where: nodes.map(({ target, failureSummary }) => target.join(' ') + ': ' + failureSummary).slice(0, 3) })))`,
          );
          expect([where, found.filter(({ impact }) => impact === 'serious' || impact === 'critical')]).toEqual([where, []]);
          const wide = await page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
          expect([where, wide]).toEqual([where, 0]);
        };
        await page.goto(`${server.url}/play`);
        await page.getByTestId('story-list').waitFor();
        await check('library');
        await page.getByTestId(`start-${STORY}`).click();
        await at(0);
        await check('story');
        await choose('take', 1);
        await choose('gate', 2);
        await choose('leave', 3);
        await page.getByTestId('ending').waitFor();
        await check('ending');
      });
    });
  },
);
