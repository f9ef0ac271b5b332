/**
 * Standard Webhooks (https://www.standardwebhooks.com): how a receiver knows who sent a message and that it is the one
 * that was sent. `webhook-signature` holds one `v1,<base64 of HMAC-SHA256>` a secret over `<id>.<timestamp>.<body>`,
 * so that a secret can be rotated while both ends still know the old one. `webhook-id` is stable over retries.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { AgentOsError } from '../errors.ts';

const WEBHOOK_SECRET_PREFIX = 'whsec_';
/** How far the sender's clock may be from ours. */
const WEBHOOK_TOLERANCE_SECONDS = 300;

/** What the specification asks of a key: 24 to 64 bytes. */
const MIN_SECRET_BYTES = 24;
const MAX_SECRET_BYTES = 64;

export interface WebhookMessage {
  /** `webhook-id`: the receiver's idempotency key; no full stop in it. */
  readonly id: string;
  readonly timestampSeconds: number;
  /** The body exactly as it is sent. */
  readonly body: string | Uint8Array;
}

export interface WebhookVerification {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The body exactly as it came, before any parsing. */
  readonly body: string | Uint8Array;
  /** One of them must have signed; several while a secret is rotated. */
  readonly secrets: readonly string[];
  readonly toleranceSeconds?: number;
  readonly nowMs?: number;
}

/** A new secret, `whsec_` and base64 of 32 random bytes. */
export function newWebhookSecret(): string {
  return WEBHOOK_SECRET_PREFIX + randomBytes(32).toString('base64');
}

/** @throws AgentOsError invalid_request when it is not `whsec_` and base64 of 24 to 64 bytes. */
export function checkedWebhookSecret(secret: string): string {
  keyOf(secret);
  return secret;
}

/** The three headers of a message. @throws AgentOsError invalid_request for a secret that is none. */
export function signWebhook(message: WebhookMessage, secrets: readonly string[]): Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>> {
  if (secrets.length === 0) throw new Error('A webhook is signed with at least one secret.');
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(message.timestampSeconds),
    'webhook-signature': secrets.map((secret) => `v1,${signature(message, secret).toString('base64')}`).join(' '),
  };
}

/**
 * The message's id and time when one of the secrets signed exactly this body lately.
 * @throws AgentOsError unauthorized with `details.reason` missing_header, bad_timestamp, too_old, too_new or bad_signature.
 */
export function verifyWebhook(input: WebhookVerification): { readonly id: string; readonly timestampSeconds: number } {
  const [id, timestamp, signatures] = (['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const).map((name) => single(input.headers, name));
  if (!/^\d{1,12}$/.test(timestamp!)) throw refused('bad_timestamp', 'webhook-timestamp is not a number of seconds.');
  const timestampSeconds = Number(timestamp);
  const ageSeconds = (input.nowMs ?? Date.now()) / 1000 - timestampSeconds;
  const tolerance = input.toleranceSeconds ?? WEBHOOK_TOLERANCE_SECONDS;
  if (ageSeconds > tolerance) throw refused('too_old', `The message was signed more than ${tolerance} seconds ago; it may be a replay.`);
  if (ageSeconds < -tolerance) throw refused('too_new', `The message was signed more than ${tolerance} seconds ahead of this clock.`);

  const presented = signatures!.split(' ').filter((part) => part.startsWith('v1,')).map((part) => Buffer.from(part.slice(3), 'base64'));
  const expected = input.secrets.map((secret) => signature({ id: id!, timestampSeconds, body: input.body }, secret));
  // Every pair is compared, so that time says nothing about which secret nearly matched.
  const matches = expected.flatMap((one) => presented.map((other) => one.length === other.length && timingSafeEqual(one, other)));
  if (!matches.includes(true)) throw refused('bad_signature', 'None of the known secrets signed this message.');
  return { id: id!, timestampSeconds };
}

function signature(message: WebhookMessage, secret: string): Buffer {
  return createHmac('sha256', keyOf(secret)).update(`${message.id}.${message.timestampSeconds}.`).update(message.body).digest();
}

function keyOf(secret: string): Buffer {
  const encoded = secret.startsWith(WEBHOOK_SECRET_PREFIX) ? secret.slice(WEBHOOK_SECRET_PREFIX.length) : '';
  const key = /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) ? Buffer.from(encoded, 'base64') : Buffer.alloc(0);
  if (key.length >= MIN_SECRET_BYTES && key.length <= MAX_SECRET_BYTES) return key;
  throw new AgentOsError('invalid_request', {
    message: `A webhook secret is ${WEBHOOK_SECRET_PREFIX} followed by the base64 of ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes. Leave it out to have one made.`,
    details: { reason: 'bad_webhook_secret' },
  });
}

function single(headers: WebhookVerification['headers'], name: string): string {
  const value = headers[name];
  if (typeof value === 'string' && value !== '') return value;
  throw refused('missing_header', `The message has no ${name} header, or more than one.`);
}

const refused = (reason: string, message: string): AgentOsError => new AgentOsError('unauthorized', { message, details: { reason } });
