import { describe, expect, it } from 'vitest';
import { redact } from './redact.ts';

describe('redact', () => {
  it.each([
    ['postgres://postgres:s3cret-value@127.0.0.1:5432/agentos', 's3cret-value'],
    ['Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc', 'eyJhbGci'],
    ['key aos_live_01JH9Y0Q2KQ4R7S7X6G0M3E4F8_abcdefghijklmnopqrstuvwxyz012345 refused', 'abcdefghij'],
    ['OPENAI_API_KEY=sk-proj-0123456789abcdef', '0123456789abcdef'],
    ['{"password":"hunter2hunter2"}', 'hunter2'],
  ])('hides the secret in %s', (text, secret) => {
    const clean = redact(text);
    expect(clean).not.toContain(secret);
    expect(clean).toContain('***');
  });

  it('keeps what is no secret, and hides what it was told of', () => {
    expect(redact('GET http://127.0.0.1:50081/v1/health 200, token usage 120')).toBe('GET http://127.0.0.1:50081/v1/health 200, token usage 120');
    expect(redact('it is correct-horse', ['correct-horse'])).toBe('it is ***');
  });
});
