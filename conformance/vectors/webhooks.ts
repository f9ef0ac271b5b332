/** What a receiver must refuse, and must accept, of a delivery that was signed (Standard Webhooks): as changes to a real one. */
export interface DeliveredWebhook {
  readonly headers: Readonly<Record<string, string>>;
  readonly raw: string;
}

export interface WebhookVector {
  readonly name: string;
  readonly accepted: boolean;
  readonly change: (delivered: DeliveredWebhook) => DeliveredWebhook;
  /** How much later it is when the receiver looks; 0 when absent. */
  readonly laterSeconds?: number;
}

const header = (name: string, change: (value: string) => string | undefined): WebhookVector['change'] => ({ headers, raw }) => {
  const { [name]: value = '', ...rest } = headers;
  const next = change(value);
  return { raw, headers: next === undefined ? rest : { ...rest, [name]: next } };
};
const flipped = (signature: string): string => `${signature.slice(0, 5)}${signature[5] === 'A' ? 'B' : 'A'}${signature.slice(6)}`;

export const webhookVectors: readonly WebhookVector[] = [
  { name: 'as it came', accepted: true, change: (delivered) => delivered },
  { name: 'four minutes on its way', accepted: true, change: (delivered) => delivered, laterSeconds: 240 },
  { name: 'with a second signature, as during rotation', accepted: true, change: header('webhook-signature', (value) => `v1,${'A'.repeat(43)}= ${value}`) },
  { name: 'with a signature of a scheme to come', accepted: true, change: header('webhook-signature', (value) => `v2,whatever ${value}`) },
  { name: 'without a signature', accepted: false, change: header('webhook-signature', () => undefined) },
  { name: 'with an empty signature', accepted: false, change: header('webhook-signature', () => '') },
  { name: 'with a wrong signature', accepted: false, change: header('webhook-signature', flipped) },
  { name: 'with a signature of another scheme alone', accepted: false, change: header('webhook-signature', (value) => value.replaceAll('v1,', 'v0,')) },
  { name: 'without an id', accepted: false, change: header('webhook-id', () => undefined) },
  { name: 'under another id', accepted: false, change: header('webhook-id', (value) => `${value}x`) },
  { name: 'without a time', accepted: false, change: header('webhook-timestamp', () => undefined) },
  { name: 'with another time', accepted: false, change: header('webhook-timestamp', (value) => String(Number(value) + 1)) },
  { name: 'with a time that is none', accepted: false, change: header('webhook-timestamp', () => 'yesterday') },
  { name: 'ten minutes old', accepted: false, change: (delivered) => delivered, laterSeconds: 600 },
  { name: 'from ten minutes ahead', accepted: false, change: (delivered) => delivered, laterSeconds: -600 },
  { name: 'with one changed byte', accepted: false, change: ({ headers, raw }) => ({ headers, raw: raw.replace(/[a-z]/, (letter) => (letter === 'z' ? 'y' : 'z')) }) },
  { name: 'with a space more', accepted: false, change: ({ headers, raw }) => ({ headers, raw: `${raw} ` }) },
];
