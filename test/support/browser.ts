import { execFileSync } from 'node:child_process';
import { type Browser, chromium, type Page } from 'playwright-core';
import { need } from './program.js';

export type { Browser, Page };

/** The widths at which pages are tested: a laptop's and a phone's. */
export const SCREENS = { laptop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

const PATIENT_MS = 120_000;

/** Debian's Chromium without a window, which resolves no host but this machine. Use it under `describeWith('chromium', …)`. */
export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    // It needs the absolute path.
    executablePath: execFileSync('/bin/sh', ['-c', `command -v ${need('chromium')}`], { encoding: 'utf8' }).trim(),
    args: ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
  });

/** A page and its errors. */
export interface Tab {
  page: Page;
  /** Errors of scripts, violations of the Content-Security-Policy, and requests to other origins; empty when all is well. */
  complaints: string[];
}

/** A new tab without the storage of earlier ones, which should send requests to this origin only. */
export async function openTab(browser: Browser, origin: string, screen: keyof typeof SCREENS): Promise<Tab> {
  const isPhone = screen === 'phone';
  const context = await browser.newContext({ viewport: SCREENS[screen], isMobile: isPhone, hasTouch: isPhone });
  const page = await context.newPage();
  // Long enough for a busy machine.
  page.setDefaultTimeout(PATIENT_MS);
  const complaints: string[] = [];
  page.on('pageerror', ({ message }) => complaints.push(message));
  page.on('console', (message) => {
    // Refusals of the API are not errors of the page.
    const isRefusal = message.text().startsWith('Failed to load resource: the server responded with a status of 4');
    if (message.type() === 'error' && !isRefusal) complaints.push(message.text());
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (!['data:', 'blob:'].includes(url.protocol) && url.origin !== origin) complaints.push(`asked for ${url}`);
  });
  return { page, complaints };
}
