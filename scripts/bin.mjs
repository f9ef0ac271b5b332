#!/usr/bin/env node
/**
 * `npx agentos`: the built command line, or the source where nothing has been built (npm was told to skip scripts).
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// Before anything is loaded: an older Node.js would end in a syntax error or a missing module, which says nothing.
const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const wanted = /\d+\.\d+\.\d+/.exec(engines.node)[0].split('.').map(Number);
const found = process.versions.node.split('.').map(Number);
const differs = wanted.findIndex((part, index) => part !== found[index]);
if (differs !== -1 && found[differs] < wanted[differs]) {
  process.stderr.write(`error: Node.js ${process.version} is too old\n  AgentOS needs Node.js ${wanted.join('.')} or newer; this one is ${process.execPath}\nnext: install the newest Node.js 20, 22 or 24\n`);
  process.exit(4);
}

const built = new URL('../dist/scripts/agentos.js', import.meta.url);
if (existsSync(fileURLToPath(built))) {
  await import(built.href);
} else {
  const { register } = await import('tsx/esm/api');
  register();
  await import(new URL('./agentos.ts', import.meta.url).href);
}
