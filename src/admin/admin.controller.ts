import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { Controller, Get, Inject, Param } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { CONFIG } from '../platform/config.token.js';
import { Answer } from '../platform/http/answer.js';
import { Anyone } from '../platform/http/caller.js';
import { SECURITY } from '../platform/http/headers.js';
import { notFound } from '../platform/http/problem.js';
import type { AdminConfig } from './admin.settings.js';

const { resolve } = createRequire(import.meta.url);

/** The page itself; it loads the other files. */
const PAGE = 'admin.html';
const SCRIPTS = ['admin', 'api', 'charts', 'dom', 'figures', 'formats', 'live', 'tables'].map((name) => `${name}.js`);
/** Where each file is that may be asked for, by its name. */
const FILES = new Map([
  ...[PAGE, 'admin.css', ...SCRIPTS].map((name) => [name, `#admin/${name}`] as const),
  ['uPlot.esm.js', 'uplot/dist/uPlot.esm.js'],
  ['uPlot.min.css', 'uplot/dist/uPlot.min.css'],
]);
const TYPES: Record<string, string> = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript' };

/** Its own scripts and styles, calls of this API, and nothing else: no script or style within the markup. */
const POLICY = `${SECURITY['content-security-policy']}; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'`;

/** A page for admins. Its files tell nothing: it signs in and reads what is there by the API, as any client does. */
@ApiExcludeController()
@Controller('admin')
export class AdminController {
  constructor(@Inject(CONFIG) private readonly config: AdminConfig) {}

  @Get()
  @Anyone()
  page(): Promise<Answer> {
    return this.file(PAGE);
  }

  @Get('*')
  @Anyone()
  async file(@Param('*') name: string): Promise<Answer> {
    if (!this.config.ADMIN_PAGE) throw notFound();
    // The page's own addresses are told from there.
    if (name === '') return new Answer('', { status: 308, headers: { location: '../admin' } });
    const path = FILES.get(name);
    if (!path) throw notFound();
    const text = await readFile(resolve(path), 'utf8');
    return new Answer(text, {
      type: `${TYPES[extname(name)]}; charset=utf-8`,
      etag: `"${createHash('sha256').update(text).digest('base64url')}"`,
      headers: { 'cache-control': 'no-cache', 'content-security-policy': POLICY },
    });
  }
}
