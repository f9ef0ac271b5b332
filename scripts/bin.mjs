#!/usr/bin/env node
/**
 * `npx agentos`: the built command line, or the source where nothing has been built (npm was told to skip scripts).
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const built = new URL('../dist/scripts/agentos.js', import.meta.url);
if (existsSync(fileURLToPath(built))) {
  await import(built.href);
} else {
  const { register } = await import('tsx/esm/api');
  register();
  await import(new URL('./agentos.ts', import.meta.url).href);
}
