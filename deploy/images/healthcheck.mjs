/**
 * Asks the service of this container whether it is ready: exit code 0 when it is. The image has neither curl nor a
 * shell. It asks over loopback, and over TLS where the service serves that; the certificate names the hosts that others
 * use, so it is not compared here.
 */
import { request as overHttp } from 'node:http';
import { request as overTls } from 'node:https';

const PORTS = { 'agent-orchestrator': 50081, 'model-policy': 50082, federation: 50083, gateway: 50080 };
const { AGENTOS_SERVICE: service, AGENTOS_PORT, PORT, AGENTOS_TLS_CERT_FILE: certificate } = process.env;
const port = Number(AGENTOS_PORT || PORT || PORTS[service]);

function end(code, why) {
  process.stdout.write(`${why}\n`);
  process.exit(code);
}

if (!Number.isInteger(port)) end(2, 'AGENTOS_PORT or AGENTOS_SERVICE must say whom to ask.');
const [request, options] = certificate ? [overTls, { rejectUnauthorized: false }] : [overHttp, {}];
const asked = request({ host: '127.0.0.1', port, path: '/readyz', timeout: 4_000, ...options }, (answer) => {
  let body = '';
  answer.setEncoding('utf8').on('data', (text) => (body += text)).on('end', () => end(answer.statusCode === 200 ? 0 : 1, body));
});
asked.on('timeout', () => end(1, 'No answer within 4 s.'));
asked.on('error', (error) => end(1, error.message));
asked.end();
