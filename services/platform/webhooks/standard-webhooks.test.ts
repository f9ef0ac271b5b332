import { describe, expect, it } from 'vitest';
import { AgentOsError } from '../errors.ts';
import { checkedWebhookSecret, newWebhookSecret, signWebhook, verifyWebhook, type WebhookVerification } from './standard-webhooks.ts';

const SECRET = newWebhookSecret();
const NOW_SECONDS = 1_760_000_000;
const BODY = '{"temperature":21}';
const headers = signWebhook({ id: 'tcall_1', timestampSeconds: NOW_SECONDS, body: BODY }, [SECRET]);

const verify = (changes: Partial<WebhookVerification> = {}) => verifyWebhook({ headers, body: BODY, secrets: [SECRET], nowMs: NOW_SECONDS * 1000, ...changes });

function reason(changes: Partial<WebhookVerification>): unknown {
  try {
    verify(changes);
  } catch (error) {
    expect(error).toBeInstanceOf(AgentOsError);
    expect((error as AgentOsError).code).toBe('unauthorized');
    return (error as AgentOsError).details['reason'];
  }
  return 'verified';
}

describe('Standard Webhooks', () => {
  it("agrees with the specification's own example", () => {
    const signed = signWebhook({ id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestampSeconds: 1614265330, body: '{"test": 2432232314}' }, ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']);
    expect(signed).toEqual({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp': '1614265330', 'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  it('accepts what was signed', () => {
    expect(verify()).toEqual({ id: 'tcall_1', timestampSeconds: NOW_SECONDS });
    expect(verify({ body: Buffer.from(BODY) }).id).toBe('tcall_1');
  });

  it('refuses a changed byte, id or time', () => {
    expect(reason({ body: BODY.replace('21', '22') })).toBe('bad_signature');
    expect(reason({ headers: { ...headers, 'webhook-id': 'tcall_2' } })).toBe('bad_signature');
    expect(reason({ headers: { ...headers, 'webhook-timestamp': String(NOW_SECONDS + 1) } })).toBe('bad_signature');
    expect(reason({ secrets: [newWebhookSecret()] })).toBe('bad_signature');
    expect(reason({ secrets: [] })).toBe('bad_signature');
  });

  it('refuses what is missing, twice there or no number', () => {
    for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature']) {
      expect(reason({ headers: { ...headers, [name]: undefined } }), name).toBe('missing_header');
      expect(reason({ headers: { ...headers, [name]: ['a', 'b'] } }), name).toBe('missing_header');
    }
    for (const timestamp of ['now', '1e9', '-1', `${NOW_SECONDS}.5`, '9'.repeat(20)]) expect(reason({ headers: { ...headers, 'webhook-timestamp': timestamp } }), timestamp).toBe('bad_timestamp');
    for (const signature of ['v1,', 'v1', 'v2,abc', 'x', `v1a,${headers['webhook-signature'].slice(3)}`]) expect(reason({ headers: { ...headers, 'webhook-signature': signature } }), signature).toBe('bad_signature');
  });

  it('refuses what is old or from the future', () => {
    expect(reason({ nowMs: (NOW_SECONDS + 300) * 1000 })).toBe('verified');
    expect(reason({ nowMs: (NOW_SECONDS + 301) * 1000 })).toBe('too_old');
    expect(reason({ nowMs: (NOW_SECONDS - 301) * 1000 })).toBe('too_new');
    expect(reason({ nowMs: (NOW_SECONDS + 301) * 1000, toleranceSeconds: 600 })).toBe('verified');
  });

  it('lets a secret be rotated at either end', () => {
    const next = newWebhookSecret();
    const both = signWebhook({ id: 'tcall_1', timestampSeconds: NOW_SECONDS, body: BODY }, [next, SECRET]);
    expect(both['webhook-signature'].split(' ')).toHaveLength(2);
    for (const secrets of [[SECRET], [next], [SECRET, next]]) expect(verify({ headers: both, secrets }).id).toBe('tcall_1');
    expect(verify({ secrets: [next, SECRET] }).id).toBe('tcall_1');
  });

  it.each(['', 'whsec_', 'whsec_short', 'secret', `whsec_${'!'.repeat(40)}`, `whsec_${Buffer.alloc(65).toString('base64')}`, `whsec_${Buffer.alloc(23).toString('base64')}`])('refuses %j as a secret', (secret) => {
    expect(() => checkedWebhookSecret(secret)).toThrow(/webhook secret/);
  });
});
