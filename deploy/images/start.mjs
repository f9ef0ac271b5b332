/**
 * Runs the program that the first argument names, in this very process: `start.mjs model-policy [flags]`. A container
 * is started with the name alone, so that nothing outside this file knows where a program lies in the image.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SERVICES = ['agent-orchestrator', 'model-policy', 'federation', 'gateway'];
const PROGRAMS = {
  ...Object.fromEntries(SERVICES.map((service) => [service, `services/${service}/main.js`])),
  seed: 'deploy/seed/main.js',
  agentos: 'scripts/agentos.js',
};

const [name = '', ...flags] = process.argv.slice(2);
const program = Object.hasOwn(PROGRAMS, name) ? new URL(`../../dist/${PROGRAMS[name]}`, import.meta.url) : null;
if (program === null || !existsSync(program)) {
  const there = Object.keys(PROGRAMS).filter((each) => existsSync(new URL(`../../dist/${PROGRAMS[each]}`, import.meta.url)));
  process.stderr.write(`${name === '' ? 'What is to run must be named' : `There is no program "${name}"`}; there are: ${there.join(', ')}. For example: docker run … model-policy --port 50082\n`);
  process.exit(2);
}
if (SERVICES.includes(name)) process.env.AGENTOS_SERVICE ??= name;
process.argv = [process.argv[0], fileURLToPath(program), ...flags];
await import(program.href);
