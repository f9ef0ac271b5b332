/**
 * A webhook tool in one file: an endpoint that tells the status of an order. It answers only what its own AgentOS node
 * signed, and answers a repeated call as it answered the first.
 *
 *     WEBHOOK_SECRET=whsec_… npx tsx examples/webhook-receiver.ts          # http://127.0.0.1:9000/orders
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';

const PORT = Number(process.env['PORT'] ?? 9000);
const SECRET = process.env['WEBHOOK_SECRET'];
if (SECRET === undefined) {
  console.error('WEBHOOK_SECRET is not set: it is the secret that the tool was created with.');
  process.exit(2);
}
const key = Buffer.from(SECRET.replace(/^whsec_/, ''), 'base64');

/** Standard Webhooks: HMAC-SHA256 of id, time and body; any of the signatures may be the right one. */
function isSigned(headers: IncomingHttpHeaders, body: string): boolean {
  const [id, timestamp, signatures] = [headers['webhook-id'], headers['webhook-timestamp'], headers['webhook-signature']].map(String);
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return false;
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest();
  return signatures!.split(' ').some((one) => {
    const presented = Buffer.from(one.replace(/^v1,/, ''), 'base64');
    return presented.length === expected.length && timingSafeEqual(presented, expected);
  });
}

/** By `webhook-id`, which stays the same when a call is made again. A real tool keeps these with its orders. */
const answered = new Map<string, string>();

const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk as string;
  if (!isSigned(request.headers, body)) {
    response.writeHead(401, { 'content-type': 'text/plain' }).end('This call was not signed with my secret.');
    return;
  }
  const id = String(request.headers['webhook-id']);
  const call = (JSON.parse(body) as { data: { run_id: string; input: { order_id: string } } }).data;
  const orderId = /\d+/.exec(call.input.order_id)?.[0] ?? 'unknown';
  const answer = answered.get(id) ?? JSON.stringify({ order_id: orderId, status: orderId === 'unknown' ? 'not found' : 'shipped' });
  answered.set(id, answer);
  console.log(`${call.run_id} asked for order ${orderId}`);
  response.writeHead(200, { 'content-type': 'application/json' }).end(answer);
});
server.listen(PORT, '127.0.0.1', () => console.log(`webhook receiver on http://127.0.0.1:${PORT}/orders`));
