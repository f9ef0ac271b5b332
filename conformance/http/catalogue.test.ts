/** Every item of the catalogue of bad input has a proof that still stands (vectors/catalogue.ts). */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { catalogue, type CatalogueItem } from '../vectors/catalogue.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

describe.each([...new Set(catalogue.map(({ section }) => section))])('%s', (section) => {
  it.each(catalogue.filter((each) => each.section === section))('$item', ({ proof: [file, words] }: CatalogueItem) => {
    const path = `${ROOT}/${file}`;
    expect(existsSync(path), file).toBe(true);
    if (!statSync(path).isDirectory()) expect(readFileSync(path, 'utf8'), file).toContain(words);
  });
});
