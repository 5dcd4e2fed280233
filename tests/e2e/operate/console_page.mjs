// console_page.mjs - the console in headless Chromium: what a person would click, at two sizes, light and dark.
//   node console_page.mjs PLAN.json     {url, chromium, modules, shots, key, wrong_key, search, gone}
// Prints a JSON object: what was seen. A broken expectation ends it with 1. SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const plan = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const require = createRequire(join(plan.modules, 'package.json'));
const { chromium } = require('playwright-core');
mkdirSync(plan.shots, { recursive: true });

const seen = { shots: 0, requests: 0, views: [] };
const SIZES = { desk: { width: 1440, height: 900 }, phone: { width: 375, height: 812 } };

// A page that reports whatever a browser has to complain about, and every request that leaves for elsewhere.
async function openPage(browser, size, scheme) {
  const context = await browser.newContext({
    viewport: SIZES[size], colorScheme: scheme, deviceScaleFactor: size === 'phone' ? 2 : 1,
    hasTouch: size === 'phone', isMobile: size === 'phone',
  });
  const page = await context.newPage();
  page.complaints = [];
  page.expected = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !page.expected.some((e) => message.text().includes(e))) {
      page.complaints.push(message.text());
    }
  });
  page.on('pageerror', (error) => page.complaints.push(String(error.stack || error)));
  page.on('request', (request) => {
    seen.requests++;
    const url = request.url();
    if (!url.startsWith(plan.url + '/console') && !url.startsWith('data:') && url !== plan.url + '/') {
      page.complaints.push('asks for ' + url);
    }
  });
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error('CSP: ' + event.violatedDirective + ' ' + event.blockedURI));
  });
  return page;
}

async function shoot(page, name) {
  await page.screenshot({ path: join(plan.shots, name + '.png'), fullPage: true, animations: 'disabled' });
  seen.shots++;
}

// Nothing is wider than the window, nothing was complained about.
async function sound(page, what) {
  const wide = await page.evaluate(() => {
    const root = document.documentElement;
    const scrolls = (el) => el && el !== document.body && (getComputedStyle(el).overflowX === 'auto' || scrolls(el.parentElement));
    const out = [...document.querySelectorAll('body *')].filter((el) => el.getBoundingClientRect().right > root.clientWidth + 1 && !scrolls(el));
    return root.scrollWidth > root.clientWidth ? [...out.slice(0, 3).map((el) => el.outerHTML.slice(0, 120)), 'scrolls sideways'] : [];
  });
  assert.deepEqual(wide, [], what + ': wider than the window');
  assert.deepEqual(page.complaints, [], what);
  seen.views.push(what);
}

const text = (page, selector) => page.locator(selector).first().innerText();

async function overview(page, tag) {
  await page.goto(plan.url + '/');
  await page.waitForSelector('.standing b');
  await page.waitForFunction(() => document.querySelectorAll('.plot').length === 12);
  await page.waitForFunction((n) => store.history.t.length >= n, plan.samples || 2, { timeout: 60000 });
  await page.waitForFunction(() => document.querySelector('.plot-value.first').innerText.trim() !== '–');
  await page.waitForSelector('tbody tr');
  assert.match(await text(page, '.standing'), /Serving/);
  // Something was drawn: not all pixels of the first plot are alike.
  const drawn = await page.evaluate(() => {
    const canvas = document.querySelector('.plot canvas');
    const data = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return new Set(data).size;
  });
  assert.ok(drawn > 3, 'the first plot is empty');
  await sound(page, tag + ' overview');
  await shoot(page, tag + '-overview');
}

async function crosshair(page, tag) {
  const box = await page.locator('.plot canvas').nth(1).boundingBox();
  await page.mouse.move(box.x + box.width * 0.97, box.y + box.height / 2);
  await page.waitForTimeout(150);
  await shoot(page, tag + '-crosshair');
  await page.getByRole('button', { name: '1 min', exact: true }).click();
  assert.equal(await page.evaluate(() => timeline.minutes), 1);
  await page.mouse.move(0, 0);
  await sound(page, tag + ' crosshair');
}

async function collectionsView(page, tag) {
  await page.locator('#tabs a', { hasText: 'Collections' }).click();
  await page.waitForSelector('tbody tr');
  const rows = await page.locator('tbody tr').count();
  assert.equal(rows, plan.collections, 'collections in the table');
  await page.waitForTimeout(200);
  await shoot(page, tag + '-collections');
  await page.getByPlaceholder('Find by name').fill(plan.search.collection);
  assert.equal(await page.locator('tbody tr').count(), 1);
  await page.getByPlaceholder('Find by name').fill('no such name');
  assert.match(await text(page, '.empty'), /No such collection/);
  await page.getByPlaceholder('Find by name').fill('');
  await page.locator('tbody a', { hasText: plan.search.collection }).first().click();
  await page.waitForSelector('.facts');
  assert.match(await text(page, '.facts'), /Items/);
  await sound(page, tag + ' collection');
  await shoot(page, tag + '-collection');
}

async function run(page) {
  const before = await page.evaluate(() => search.sequence || 0);
  await page.locator('button.main[type=submit]').click();
  await page.waitForFunction((n) => (search.sequence || 0) > n && !search.run.disabled, before);
}

async function searchView(page, tag) {
  await page.goto(plan.url + '/console#/search/' + plan.search.collection);
  await page.waitForFunction((name) => document.getElementById('q-collection').value === name, plan.search.collection);
  await page.waitForSelector('.chips .chip');
  await run(page);
  assert.equal(await page.locator('.hit').count(), 10, 'items listed');
  await shoot(page, tag + '-items');
  await page.locator('#q-like').fill(plan.search.like);
  await page.locator('#q-filter').fill(plan.search.filter);
  await run(page);
  const ids = await page.locator('.hit .id').allInnerTexts();
  assert.deepEqual(ids, plan.search.expected, 'the hits of the filtered search');
  assert.ok(await page.locator('.stages .lane').count() >= 2, 'stages');
  assert.ok(await page.locator('.funnel .lane').count() >= 3, 'funnel');
  await sound(page, tag + ' search');
  await shoot(page, tag + '-search');
  // The address keeps the search.
  const address = page.url();
  await page.goto('about:blank');
  page.complaints.length = 0;
  await page.goto(address);
  await page.waitForSelector('.hit');
  assert.deepEqual(await page.locator('.hit .id').allInnerTexts(), ids, 'the address keeps the search');
  // More like the first one, by words, and a fault with its place.
  await page.locator('.hit .id').first().click();
  await page.waitForFunction((id) => document.getElementById('q-like').value === id, ids[0]);
  await page.waitForFunction(() => !search.run.disabled);
  page.expected.push('status of 400');
  await page.locator('#q-filter').fill('price < < 3');
  await run(page);
  assert.match(await text(page, '.fault'), /FILTER_SYNTAX/);
  assert.equal(await page.locator('.fault mark').count(), 1, 'the place of the fault');
  await sound(page, tag + ' fault');
  await shoot(page, tag + '-fault');
  await page.locator('#q-filter').fill('');
  await page.locator('#q-like').fill('');
  await page.locator('#q-text').fill(plan.search.text);
  await run(page);
  assert.ok(await page.locator('.hit').count() > 0, 'hits of words');
  await shoot(page, tag + '-words');
  // Words and an item together: hybrid.
  await page.locator('#q-like').fill(plan.search.like);
  await run(page);
  assert.match(await text(page, '.sheet-head h2'), /hybrid/);
  await sound(page, tag + ' hybrid');
  await shoot(page, tag + '-hybrid');
  // Without words the graph is walked: how much of the truth did it find?
  await page.locator('#q-text').fill('');
  await run(page);
  await page.getByRole('button', { name: 'Compare with exact' }).click();
  await page.waitForFunction(() => /of the 10 true neighbours \d+ were found/.test(search.verdict.textContent));
  await sound(page, tag + ' compare');
  await shoot(page, tag + '-compare');
}

async function operationsView(page, tag) {
  await page.locator('#tabs a', { hasText: 'Operations' }).click();
  await page.waitForSelector('form select');
  await page.waitForFunction(() => store.operations !== null && store.slow !== null && store.collections !== null);
  await page.locator('form select').first().selectOption('checkpoint');
  await page.getByRole('button', { name: 'Start' }).click();
  await page.waitForFunction(() => /Checkpoint/.test(document.querySelector('main table')?.innerText || ''));
  await page.waitForFunction(() => store.operations.every((o) => o.state !== 'running' && o.state !== 'queued'), null, { timeout: 60000 });
  await sound(page, tag + ' operations');
  await shoot(page, tag + '-operations');
}

async function signIn(browser) {
  const page = await openPage(browser, 'desk', 'light');
  page.expected.push('status of 401');
  await page.goto(plan.url + '/console');
  await page.waitForSelector('#gate');
  await shoot(page, 'desk-light-gate');
  if (plan.wrong_key) {
    await page.locator('#gate').fill(plan.wrong_key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForSelector('.gate .bad');
    await shoot(page, 'desk-light-gate-wrong');
  }
  await page.locator('#gate').fill(plan.key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForSelector('.standing b');
  await page.waitForFunction(() => store.collections !== null);
  assert.deepEqual(await page.evaluate(() => store.collections.map((c) => c.name)), plan.visible, 'only what one may read');
  assert.equal(await text(page, '#whoami'), plan.name);
  await page.reload();
  await page.waitForSelector('.standing b'); // the tab keeps the key
  assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((k) => k !== 'omendb-theme').length), 0);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForSelector('#gate');
  await sound(page, 'sign in');
  await page.context().close();
}

async function whole(browser) {
  for (const [size, scheme] of [['desk', 'light'], ['desk', 'dark'], ['phone', 'light'], ['phone', 'dark']]) {
    const page = await openPage(browser, size, scheme);
    const tag = size + '-' + scheme;
    await overview(page, tag);
    if (size === 'desk') {
      await crosshair(page, tag);
    }
    await collectionsView(page, tag);
    await searchView(page, tag);
    await operationsView(page, tag);
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), scheme);
    await page.context().close();
  }
}

async function nothing(browser) {
  const page = await openPage(browser, 'desk', 'light');
  await page.goto(plan.url + '/console');
  await page.waitForSelector('.empty');
  await page.waitForFunction(() => store.history.t.length >= 1, null, { timeout: 30000 });
  await sound(page, 'empty overview');
  await shoot(page, 'desk-light-empty');
  for (const [tab, words] of [['Collections', /No collections/], ['Search', /No collections/], ['Operations', /Nothing runs/]]) {
    await page.locator('#tabs a', { hasText: tab }).click();
    await page.waitForFunction((source) => new RegExp(source).test(document.querySelector('main').innerText), words.source);
  }
  await sound(page, 'empty views');
  await page.goto(plan.url + '/console#/collections/nothere');
  page.expected.push('status of 404');
  await page.waitForFunction(() => /no such collection/i.test(document.querySelector('main').innerText));
  await shoot(page, 'desk-light-nothere');
  // The server goes away: the page says so, and goes on when it is back.
  await page.goto(plan.url + '/console#/');
  await page.waitForSelector('.standing b');
  page.expected.push('net::ERR', 'Failed to load resource');
  await page.route('**/console/api/**', (route) => route.abort());
  await page.waitForFunction(() => /does not answer/.test(document.getElementById('banner').innerText), null, { timeout: 30000 });
  await shoot(page, 'desk-light-away');
  await page.unroute('**/console/api/**');
  await page.waitForFunction(() => document.getElementById('banner').hidden, null, { timeout: 30000 });
  await sound(page, 'away and back');
  await page.context().close();
}

const browser = await chromium.launch({
  executablePath: plan.chromium, args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none', '--force-color-profile=srgb'],
});
try {
  await { whole, signIn, nothing }[plan.what](browser);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
