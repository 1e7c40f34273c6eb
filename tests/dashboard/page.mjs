// page.mjs - the dashboard's page in headless chromium, beside a real run. TAP on stdout; with
// CLFCN_SHOTS=DIR, pictures of the page to look at.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const LIMIT = 1000 * Number(process.env.CLFCN_TEST_TIMEOUT ?? 240);
const shots = process.env.CLFCN_SHOTS;
const PHONE = { width: 390, height: 844 }, DESKTOP = { width: 1280, height: 900 };

// --- the run -------------------------------------------------------------------------------------

function startRun(out) {
  const args = ['train', '--data', 'demo', '--backbone', 'vgg11', '--size', '32x32', '--batch', '8',
    '--epochs', '100000', '--lr-policy', 'poly', '--out', out, '--dashboard=0',
    '--dashboard-host', '127.0.0.1'];
  const run = spawn(process.env.CLFCN ?? 'clfcn', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  run.over = new Promise(resolve => run.on('exit', resolve));
  run.url = new Promise((resolve, reject) => {
    let text = '';
    run.stderr.on('data', data => {
      text += data;
      const found = /^dashboard: (\S+)$/m.exec(text);
      if (found) {
        resolve(found[1]);
      }
    });
    run.on('exit', () => reject(new Error(text)));
  });
  return run;
}

// --- a watched page ------------------------------------------------------------------------------

// A page whose console and requests are kept in page.faults.
async function open(browser, url, viewport, colorScheme = 'light') {
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  page.faults = [];
  page.on('console', m => page.faults.push(`console ${m.type()}: ${m.text()}`));
  page.on('pageerror', e => page.faults.push(`error: ${e.message}`));
  page.on('request', r => {
    if (new URL(r.url()).origin !== new URL(url).origin && !r.url().startsWith('data:')) {
      page.faults.push(`request: ${r.url()}`);
    }
  });
  await page.goto(url);
  return page;
}

const stateIs = (page, state) => page.locator(`#state[data-state=${state}]`).waitFor();

async function stepsDone(page) {
  const text = await page.locator('#now .row').innerText();
  return Number(/(\d+) of \d+ steps/.exec(text)[1]);
}

async function waitSteps(page, more) {
  const wanted = await stepsDone(page) + more;
  await page.waitForFunction(n => Number(/(\d+) of \d+ steps/.exec(
    document.querySelector('#now .row').innerText)[1]) >= n, wanted);
}

// Runs in the page: the least contrast (WCAG 2) of any text with what is behind it.
function leastContrast() {
  const parse = text => (text.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] > 0) {
        return color;
      }
    }
    return [255, 255, 255];
  };
  let least = { ratio: 21 };
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.getClientRects().length || e.disabled) {
      continue;
    }
    const style = getComputedStyle(e);
    const text = luminance(parse(e instanceof SVGElement ? style.fill : style.color));
    const ground = luminance(behind(e));
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    least = ratio < least.ratio ? { ratio, text: e.textContent.trim() } : least;
  }
  return least;
}

// --- tests ---------------------------------------------------------------------------------------

const tests = {
  async 'the token leaves the address bar'({ page, url }) {
    assert.match(url, /token=/);
    assert.equal(page.url(), new URL('/', url).href);
    await page.reload(); // a cookie has it
    await page.locator('#pause').waitFor();
  },

  async 'curves grow'({ page }) {
    await stateIs(page, 'training');
    const curve = page.locator('#charts figure').first().locator('path.line').first();
    await curve.waitFor();
    const before = await curve.getAttribute('d');
    await waitSteps(page, 5);
    await page.waitForFunction(d => document.querySelector('#charts path.line')
      .getAttribute('d') !== d, before);
    assert.match(await page.title(), /^(Training|Validating) · run$/);
  },

  async 'an epoch brings metrics, classes and samples'({ page }) {
    await page.locator('#results .pictures img').first().waitFor();
    await page.waitForFunction(() => [...document.querySelectorAll('#results img')]
      .every(i => i.complete && i.naturalWidth > 0));
    assert.match(await page.locator('#summary').innerText(), /Best mean IoU/);
    assert.equal(await page.locator('#results tbody th').count(), 5);
    assert.equal(await page.locator('img:not([alt])').count(), 0);
  },

  async 'pause and resume'({ page }) {
    await page.getByRole('button', { name: 'Pause' }).click();
    await stateIs(page, 'paused');
    assert.equal(await page.locator('#state').innerText(), 'Paused');
    await page.waitForTimeout(1500); // the count may follow the state
    const at = await stepsDone(page);
    await page.waitForTimeout(1500);
    assert.equal(await stepsDone(page), at);
    await page.getByRole('button', { name: 'Resume' }).click();
    await stateIs(page, 'training');
    await waitSteps(page, 2);
  },

  async 'the keyboard suffices'({ page }) {
    await page.locator('#pause').focus();
    await page.keyboard.press('Enter');
    await stateIs(page, 'paused');
    await page.keyboard.press('Space');
    await stateIs(page, 'training');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await waitSteps(page, 2);
  },

  async 'fits phones and desktops, light and dark'({ browser, url }) {
    for (const [name, viewport] of [['phone', PHONE], ['desktop', DESKTOP]]) {
      for (const scheme of ['light', 'dark']) {
        const other = await open(browser, url, viewport, scheme);
        await other.locator('#charts svg').first().waitFor();
        await other.locator('#results .pictures img').first().waitFor();
        const width = await other.evaluate(() => document.documentElement.scrollWidth);
        assert.equal(width, viewport.width, `${name} scrolls sideways`);
        for (const button of ['#pause', '#stop']) {
          const box = await other.locator(button).boundingBox();
          assert.ok(box.width >= 40 && box.height >= 40, `${button} is small`);
        }
        const { ratio, text } = await other.evaluate(leastContrast);
        assert.ok(ratio >= 4.5, `${scheme}: contrast ${ratio.toFixed(2)} of "${text}"`);
        if (shots) {
          await other.screenshot({ path: join(shots, `${name}-${scheme}.png`), fullPage: true });
        }
        assert.deepEqual(other.faults, []);
        await other.context().close();
      }
    }
  },

  async 'stop, and a page that stays'({ page, run }) {
    await page.getByRole('button', { name: 'Stop' }).click();
    if (shots) {
      await page.screenshot({ path: join(shots, 'dialog.png') });
    }
    await page.getByRole('dialog').getByRole('button', { name: 'Stop' }).click();
    await stateIs(page, 'ended');
    assert.equal(await page.locator('#state').innerText(), 'Stopped; its state is saved');
    assert.equal(await run.over, 130);
    await page.waitForTimeout(4000); // long enough to try to connect anew
    await stateIs(page, 'ended');
    assert.ok(await page.locator('#pause').isDisabled() && await page.locator('#stop').isDisabled());
    assert.ok(await page.locator('#charts svg').count() >= 4);
  },

  async 'no complaint in the console, no request elsewhere'({ page }) {
    assert.deepEqual(page.faults, []);
  },
};

const folder = mkdtempSync(join(tmpdir(), 'clfcn-page-'));
const run = startRun(join(folder, 'run'));
let browser, failed = 0, count = 0;
console.log('TAP version 13');
try {
  const url = await run.url;
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: process.getuid() === 0 ? ['--no-sandbox'] : [], timeout: LIMIT });
  const page = await open(browser, url, DESKTOP);
  for (const [name, test] of Object.entries(tests)) {
    let fault = null;
    await test({ browser, page, run, url }).catch(e => { fault = e; });
    console.log(`${fault ? 'not ok' : 'ok'} ${++count} - ${name}`);
    if (fault) {
      ++failed;
      console.log(String(fault.stack).replace(/^/gm, '# '));
    }
  }
} finally {
  await browser?.close();
  run.kill('SIGKILL');
  await run.over;
  rmSync(folder, { recursive: true });
}
console.log(`1..${count}`);
process.exitCode = failed ? 1 : 0;
