import { describe, expect, it } from 'vitest';
import { createSecretBox } from './secret-box.ts';

const KEY = 'a signing key of at least thirty-two bytes';
const PLACE = ['tnt_one', 'tool', 'tool.weather'];

describe('secrets at rest', () => {
  it('opens what it sealed, and says nothing of it', () => {
    const box = createSecretBox(KEY);
    const sealed = box.seal('whsec_c2VjcmV0', PLACE);
    expect(sealed).not.toContain('c2VjcmV0');
    expect(box.seal('whsec_c2VjcmV0', PLACE), 'equal secrets do not look equal').not.toBe(sealed);
    expect(createSecretBox(KEY).open(sealed, PLACE)).toBe('whsec_c2VjcmV0');
  });

  it('opens nothing for another place, another key, or a changed byte', () => {
    const box = createSecretBox(KEY);
    const sealed = box.seal('secret', PLACE);
    expect(() => box.open(sealed, ['tnt_two', 'tool', 'tool.weather'])).toThrow(/another place/);
    expect(() => createSecretBox(`${KEY}!`).open(sealed, PLACE)).toThrow(/another AGENTOS_SIGNING_KEY/);
    const [version, key, data] = sealed.split('.') as [string, string, string];
    for (let at = 0; at < data.length - 1; at += 1) {
      const changed = [version, key, data.slice(0, at) + (data[at] === 'A' ? 'B' : 'A') + data.slice(at + 1)].join('.');
      expect(() => box.open(changed, PLACE), `character ${at}`).toThrow(/cannot be read/);
    }
    for (const text of ['', 'v1', 'v2.x.y', 'plain text']) expect(() => box.open(text, PLACE)).toThrow(/cannot be read/);
  });

  it('keeps to itself without a key', () => {
    const sealed = createSecretBox(undefined).seal('secret', PLACE);
    expect(() => createSecretBox(undefined).open(sealed, PLACE)).toThrow(/cannot be read/);
  });
});
