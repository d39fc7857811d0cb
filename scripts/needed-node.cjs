// On a Node that is too old, the bundles and what makes and starts them end with one sentence in place of an error of its own.
{
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 24 || (major === 24 && minor < 11)) {
    const { existsSync } = require('node:fs');
    const own = require('node:path').join(__dirname, '../node_modules/node');
    let remedy = 'install a newer one, or run npm ci --include=dev, which brings one for npm start';
    if (existsSync(own)) remedy = 'run npm rebuild, which adds the one that comes with the packages';
    if (existsSync(`${own}/bin/node`)) remedy = 'npm start takes the one that comes with the packages';
    process.stderr.write(`Floodgate needs Node 24.11 or newer, and this is ${process.versions.node}: ${remedy}.\n`);
    process.exit(1);
  }
}
