/**
 * What of AWS Secrets Manager is needed here, on the wire as AWS writes it: GetSecretValue in the JSON 1.1 protocol,
 * requests signed by Signature Version 4 (looked at, not verified), and its errors.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Names of AWS's errors; `garbage` answers what is no answer, `silent` not at all. */
export type SecretsManagerFault = 'AccessDeniedException' | 'ThrottlingException' | 'InternalServiceError' | 'DecryptionFailure' | 'ExpiredTokenException' | 'InvalidRequestException' | 'garbage' | 'silent' | null;

export interface SecretsManagerStub {
  readonly url: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** What the SDK reads from the environment to come here. */
  readonly env: Readonly<Record<string, string>>;
  readonly requests: number;
  put(id: string, text: string | Uint8Array): void;
  remove(id: string): void;
  fault(kind: SecretsManagerFault): void;
  close(): Promise<void>;
}

const STATUS: Readonly<Record<string, number>> = { InternalServiceError: 500 };

export async function startSecretsManager(): Promise<SecretsManagerStub> {
  const credentials = { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'example-secret-access-key' };
  const secrets = new Map<string, { readonly text: string | Uint8Array; readonly version: string }>();
  const state = { fault: null as SecretsManagerFault, requests: 0 };
  const server = createServer((request, response) => {
    void (async () => {
      state.requests += 1;
      let text = '';
      for await (const chunk of request) text += String(chunk);
      const send = (status: number, body: unknown): void => void response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': randomUUID() }).end(typeof body === 'string' ? body : JSON.stringify(body));
      const { fault } = state;
      if (fault === 'silent') return;
      if (fault === 'garbage') return send(200, '<html>a proxy says hello</html>');
      if (fault !== null) return send(STATUS[fault] ?? 400, { __type: fault, Message: `User: arn:aws:iam::123456789012:user/x ${fault}` });
      if (!String(request.headers['authorization']).startsWith(`AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/`)) return send(400, { __type: 'MissingAuthenticationTokenException', message: 'unsigned' });
      if (request.headers['x-amz-target'] !== 'secretsmanager.GetSecretValue') return send(400, { __type: 'UnknownOperationException' });
      const { SecretId: id } = JSON.parse(text) as { SecretId: string };
      const found = secrets.get(id);
      if (found === undefined) return send(400, { __type: 'ResourceNotFoundException', Message: "Secrets Manager can't find the specified secret." });
      const value = typeof found.text === 'string' ? { SecretString: found.text } : { SecretBinary: Buffer.from(found.text).toString('base64') };
      return send(200, { ARN: `arn:aws:secretsmanager:eu-west-1:123456789012:secret:${id}-AbCdEf`, Name: id, VersionId: found.version, VersionStages: ['AWSCURRENT'], CreatedDate: 1_780_000_000, ...value });
    })().catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url, credentials,
    env: { AWS_ENDPOINT_URL_SECRETS_MANAGER: url, AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey, AWS_REGION: 'eu-west-1' },
    get requests() { return state.requests; },
    put: (id, text) => void secrets.set(id, { text, version: randomUUID() }),
    remove: (id) => void secrets.delete(id),
    fault: (kind) => void (state.fault = kind),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
