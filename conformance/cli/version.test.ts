/** A release has one version, wherever a person or a program looks: that of package.json. v1.02 is `1.0.2` in semver (C-77). */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { SERVICE_VERSION } from '../../services/platform/build-info.ts';
import { agentosVersion } from '../../scripts/lib/repository.ts';
import { listReleases } from '../../scripts/contract/releases.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const readText = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const readJson = <T>(file: string): T => JSON.parse(readText(file)) as T;
const { version } = readJson<{ version: string }>('package.json');

/** Made, of others, or a record of the past. */
const SKIPPED = /^(?:node_modules|dist|sdk\/dist|\.git|\.agentos|reports|coverage|data|specs\/released|conformance\/replay\/corpus|package-lock\.json|CHANGELOG\.md)$/;
const TEXT = /\.(?:ts|mjs|js|json|jsonl|ya?ml|md|sh|toml|conf)$|Dockerfile$/;

function* files(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = relative(ROOT, join(folder, entry.name));
    if (SKIPPED.test(path) || entry.name === 'node_modules') continue;
    if (entry.isDirectory()) yield* files(join(ROOT, path));
    else if (TEXT.test(entry.name)) yield path;
  }
}

describe('the version', () => {
  it('is told alike by packages, services, command line, contract and image', () => {
    const lock = readJson<{ version: string; packages: Record<string, { version: string }> }>('package-lock.json');
    const told = {
      services: SERVICE_VERSION,
      'command line': agentosVersion,
      SDK: readJson<{ version: string }>('sdk/package.json').version,
      lock: lock.version,
      'lock, root': lock.packages['']?.version,
      'lock, SDK': lock.packages['sdk']?.version,
      image: /^ARG VERSION=(.+)$/m.exec(readText('deploy/images/Dockerfile'))?.[1],
      ...Object.fromEntries(['agent-orchestrator', 'model-policy', 'federation'].map((service) => [`contract of ${service}`, readJson<{ info: { version: string } }>(`generated/openapi/${service}.json`).info.version])),
    };
    expect(told).toEqual(Object.fromEntries(Object.keys(told).map((who) => [who, version])));
  });

  it('is that of the newest frozen contract, whose name is v1.02.0 where semver says 1.0.2', () => {
    const newest = listReleases().at(-1)!.text;
    expect(newest).toMatch(/^v1\.02\.0(?:-|$)/);
    expect(newest.replace('v1.02.0', '1.0.2'), 'raise package.json together with the release').toBe(version);
  });

  it('stands in no second form anywhere', () => {
    const other: string[] = [];
    for (const file of files(ROOT)) {
      const text = readText(file);
      for (const { 0: found } of text.matchAll(/(?<![\w.])1\.\d+\.\d+-(?:alpha|beta|rc)\.\d+|(?<![\w.])1\.02\.\d+/g)) if (found !== version) other.push(`${file}: ${found}`);
    }
    expect(other).toEqual([]);
  });
});
