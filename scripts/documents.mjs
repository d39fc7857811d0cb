// Writes the documents that are made of the code: openapi.json, docs/configuration.md and .env.example (npm run documents).
// With --check it writes nothing, and ends with 1 when one of them is not what the code makes.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { NestFactory } from '@nestjs/core';
import { pino } from 'pino';
import { AppModule } from '../dist/app.module.js';
import { loadConfig, settings } from '../dist/config.js';
import { Edge } from '../dist/platform/edge/edge.js';
import { HttpAdapter } from '../dist/platform/http/adapter.js';
import { AccessLog } from '../dist/platform/logging/access-log.js';
import { createDocument } from './openapi.ts';

/** Nothing is started for it: in preview, Nest only looks at what there is. */
async function openApi() {
  const config = loadConfig({ NODE_ENV: 'test', APP_SECRET: 'x'.repeat(32) });
  const logger = pino({ level: 'silent' });
  const edge = new Edge(config, new AccessLog(config, logger));
  const adapter = new HttpAdapter(config, logger, (pipeline) => pipeline);
  const app = await NestFactory.create(
    AppModule.forRoot(config, logger, edge, { modules: [], migrations: [] }),
    adapter,
    {
      preview: true,
      logger: false,
      abortOnError: false,
    },
  );
  return `${JSON.stringify(createDocument(app), null, 2)}\n`;
}

/** What each setting is, by its comment. */
function meanings() {
  const folder = new URL('../src/', import.meta.url);
  const files = readdirSync(folder, { recursive: true }).filter((file) => /(?:^|[/\\.])settings\.ts$/.test(file));
  const sources = files.map((file) => readFileSync(new URL(file, folder), 'utf8')).join('\n');
  const about = new Map(
    [...sources.matchAll(/\/\*\* (.+\.) \*\/\n {2}([A-Z_]+):/g)].map(([, text, name]) => [name, text]),
  );
  return Object.entries(settings.shape).map(([name, schema]) => {
    if (!about.has(name)) throw new Error(`${name} has no comment, in one line and a sentence, that says what it is.`);
    return [name, schema, about.get(name)];
  });
}

function environment() {
  const lines = meanings().map(([name, schema, meaning]) => {
    const standard = schema.safeParse(undefined).data;
    return `# ${meaning}\n# ${name}=${standard ?? ''}\n`;
  });
  return `# Copy this to .env, and take the # from the settings that you change: npm start, npm run dev and npm run migrate read it.
# What the environment has counts more. Made of the schemas by npm run documents, with the values that development has.

${lines.join('\n')}`;
}

function configuration() {
  const rows = meanings().map(([name, schema, meaning]) => {
    const { secret, required, production } = schema.meta() ?? {};
    const unit = /_(MS|S|BYTES)$/.exec(name)?.[1].toLowerCase();
    const inUnit = (value) => (value === undefined ? '' : `\`${value}\`${unit ? ` ${unit}` : ''}`);
    const standard = inUnit(schema.safeParse(undefined).data);
    const inProduction = required ? '**required**' : production ? inUnit(production) : standard;
    return `| \`${name}\`${secret ? ' ¹' : ''} | ${standard} | ${inProduction} | ${meaning} |`;
  });
  return `# Which settings are there?

Floodgate reads these environment variables. \`npm start\`, \`npm run dev\` and \`npm run migrate\` take what the environment
lacks from a file \`.env\`, where there is one ([.env.example](../.env.example)). A value that is missing, out of range or not readable stops
the start, with one line for each mistake. This page is made of the schemas in \`src/platform/settings.ts\` and beside
the modules, by \`npm run documents\`.

| variable | default | in production | meaning |
|---|---|---|---|
${rows.join('\n')}

¹ A secret: it can also be given as a file, by its name with \`_FILE\` behind it (\`APP_SECRET_FILE=/run/secrets/app\`).
`;
}

const documents = [
  ['openapi.json', await openApi()],
  ['docs/configuration.md', configuration()],
  ['.env.example', environment()],
];
for (const [file, text] of documents) {
  const path = new URL(`../${file}`, import.meta.url);
  if (!process.argv.includes('--check')) writeFileSync(path, text);
  else if (readFileSync(path, 'utf8') !== text) {
    console.error(`${file} is not what the code makes: run npm run documents and look at what changed.`);
    process.exitCode = 1;
  }
}
