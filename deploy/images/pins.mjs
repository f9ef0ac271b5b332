/**
 * The digests of base images: `node deploy/images/pins.mjs --check` compares pins.json with the registries, `--update`
 * renews pins.json and every file that names a digest of it. Needs network and nothing else; anonymous reads only.
 * Exit code 1 says that a tag has moved on (or, for --update, that something changed): then build, test and commit.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const DEPLOY = join(FOLDER, '..');
/** Docker asks for an index first, and so do we: one digest for all platforms. */
const INDEX = 'application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json';

/** `node` is docker.io/library/node; whatever has a dot before its first slash names its registry. */
export function placeOf(image) {
  const [first, ...rest] = image.split('/');
  if (rest.length > 0 && first.includes('.')) return { registry: first, repository: rest.join('/') };
  return { registry: 'registry-1.docker.io', repository: rest.length === 0 ? `library/${first}` : image };
}

/** What the registry says a tag is now. Answers 401 with where a token is to be had, as the distribution specification says. */
export async function digestOf(image, tag, ask = fetch) {
  const { registry, repository } = placeOf(image);
  const url = `https://${registry}/v2/${repository}/manifests/${tag}`;
  let answer = await ask(url, { method: 'HEAD', headers: { accept: INDEX } });
  if (answer.status === 401) {
    const { realm, service, scope } = Object.fromEntries([...(answer.headers.get('www-authenticate') ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
    if (realm === undefined || !realm.startsWith('https://')) throw new Error(`${registry} asks for a credential and does not say where to get one.`);
    const query = new URLSearchParams({ ...(service === undefined ? {} : { service }), scope: scope ?? `repository:${repository}:pull` });
    const { token, access_token: other } = await (await ask(`${realm}?${query}`)).json();
    answer = await ask(url, { method: 'HEAD', headers: { accept: INDEX, authorization: `Bearer ${token ?? other}` } });
  }
  const digest = answer.headers.get('docker-content-digest');
  if (!answer.ok || !/^sha256:[0-9a-f]{64}$/.test(digest ?? '')) throw new Error(`${image}:${tag}: ${registry} answered ${answer.status} without a digest.`);
  return digest;
}

function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).filter((file) => /(Dockerfile|\.(ya?ml|json))$/.test(file));
}

async function main(action) {
  if (action !== '--check' && action !== '--update') {
    process.stderr.write('node deploy/images/pins.mjs --check | --update\n');
    process.exit(2);
  }
  const pins = JSON.parse(readFileSync(join(FOLDER, 'pins.json'), 'utf8'));
  let moved = 0;
  for (const pin of pins.images) {
    const now = await digestOf(pin.image, pin.tag);
    process.stdout.write(`${pin.image}:${pin.tag} ${now === pin.digest ? 'is as pinned' : `has moved from ${pin.digest} to ${now}`}\n`);
    if (now === pin.digest) continue;
    moved += 1;
    if (action === '--check') continue;
    for (const file of filesBelow(DEPLOY)) {
      const text = readFileSync(file, 'utf8');
      if (text.includes(pin.digest)) writeFileSync(file, text.replaceAll(pin.digest, now));
    }
    Object.assign(pin, { digest: now, version: '', seen: ['the registry itself'] });
  }
  if (action === '--update' && moved > 0) writeFileSync(join(FOLDER, 'pins.json'), `${JSON.stringify({ ...pins, verified: new Date().toISOString().slice(0, 10), how: 'Read from the registries by pins.mjs --update.' }, null, 2)}\n`);
  process.exit(moved === 0 ? 0 : 1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(process.argv[2]).catch((error) => {
    process.stderr.write(`The registries could not be asked: ${error.message}${error.cause === undefined ? '' : ` (${error.cause.message})`}\n`);
    process.exit(4);
  });
}
