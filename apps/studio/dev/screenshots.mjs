/*
 * Walks through the player in Chromium against the fake server, checks what can be checked (accessibility rules, keyboard, focus, retry, live update, no
 * overflow, no policy violation), and leaves screenshots to look at.
 *   node apps/studio/dev/screenshots.mjs OUTPUT_FOLDER     (CHROMIUM_PATH names the browser, default /usr/bin/chromium)
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { faults, jump, serve, turnElsewhere } from './fake-server.mjs';

const out = process.argv[2] ?? 'screenshots';
mkdirSync(out, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const server = await serve(0);
const base = `http://127.0.0.1:${server.port}`;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
const id = (name) => `[data-testid="${name}"]`;
const complaints = [];

async function check(page, name) {
  await page.waitForTimeout(600);
  await page.screenshot({ path: join(out, `${name}.png`), fullPage: true });
  const { over, wide } = await page.evaluate(() => ({
    over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    wide: [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.className),
  }));
  assert.ok(over <= 0, `${name}: ${over}px wider than the window: ${wide.slice(0, 5)}`);
  const found = await page.evaluate(
    `(async () => { ${axe}; return (await axe.run()).violations.map((v) => v.id + ' ' + v.nodes.map((n) => n.html).join(' | ').slice(0, 300)); })()`,
  );
  for (const violation of found) complaints.push(`${name}: ${violation}`);
}

async function walk(width, height, colorScheme) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor: 1 });
  // The rules of accessibility are checked by a script that the policy, rightly, would refuse; violations are therefore listened for instead.
  const page = await context.newPage();
  const name = (step) => `${width}-${colorScheme}-${step}`;
  page.on('console', (message) => {
    // The offline step is meant to fail a request.
    if (message.type() === 'error' && !message.text().includes('ERR_INTERNET_DISCONNECTED'))
      complaints.push(`${name('console')}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`${name('error')}: ${error}`));

  faults.delayMs = 1_500;
  await page.goto(`${base}/play`);
  await page.waitForSelector(id('loading'));
  await check(page, name('0-loading'));
  faults.delayMs = 0;
  await page.waitForSelector(id('story-list'));
  await check(page, name('1-library'));

  await page.click(id('start-the-inspector-of-bells'));
  await page.waitForSelector(id('passage'));
  await check(page, name('2-first'));
  await page.keyboard.press('2');
  await page.waitForSelector('[data-turn="1"]');
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1', 'the new passage has the focus');
  await page.reload();
  await page.waitForSelector('[data-turn="1"]');

  const square = jump('square');
  await page.goto(`${base}/play?p=${square}`);
  await page.waitForSelector(id('passage'));
  for (const panel of ['variables', 'history-panel', 'checkpoints-panel']) {
    if (!(await page.$eval(id(panel), (element) => element.open))) await page.click(`${id(panel)} summary`);
  }
  await page.waitForSelector(id('history'));
  await page.fill(id('checkpoint-name'), 'Before the goat');
  await page.click(id('checkpoint-set'));
  await page.waitForSelector(id('checkpoints'));
  await page.click(id('turn-back-2'));
  await check(page, name('3-square'));
  await page.focus(id('choice-church'));
  await page.keyboard.press('Enter');
  assert.match(await page.textContent(id('announcement')), /^Locked\./, 'a locked choice says why');
  await page.click(id('fork-1'));
  await page.waitForSelector(id('what-if'));
  await check(page, name('4-what-if'));

  const alarm = jump('alarm-dark');
  await page.goto(`${base}/play?p=${alarm}`);
  await page.waitForSelector(id('deadline'));
  await check(page, name('5-alarm'));
  faults.next = 'OVERLOADED';
  await page.click(id('choice-knock'));
  await page.waitForSelector(id('retry'));
  await check(page, name('6-retry'));
  await page.click(id('retry'));
  await page.waitForSelector('[data-turn="3"]');
  assert.equal(faults.received.at(-1), faults.received.at(-2), 'the second try is the same command');
  turnElsewhere(alarm, 'end-maria');
  await page.waitForSelector(id('ending'));
  await check(page, name('7-ending'));

  await context.setOffline(true);
  await page.waitForSelector(id('offline'));
  await page.click(id('again'));
  await page.waitForSelector(id('problem'));
  await check(page, name('8-offline'));
  await context.setOffline(false);
  await page.waitForSelector('[data-turn="0"]');

  await page.goto(`${base}/play?p=nobody`);
  await page.waitForSelector(id('problem'));
  await check(page, name('9-not-found'));
  await context.close();
}

try {
  await walk(320, 640, 'light');
  await walk(390, 844, 'dark');
  await walk(1280, 900, 'light');
  await walk(1280, 900, 'dark');
  process.stdout.write(complaints.length === 0 ? 'nothing to complain of\n' : `${complaints.join('\n')}\n`);
} finally {
  await browser.close();
  server.close();
}
process.exitCode = complaints.length === 0 ? 0 : 1;
