import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startSecretsManager, type SecretsManagerStub } from '../../../conformance/ports/aws-secrets-stub.ts';
import { AwsSecrets } from './secrets-aws-sm.ts';

let manager: SecretsManagerStub;
let secrets: AwsSecrets;
beforeEach(async () => {
  manager = await startSecretsManager();
  secrets = new AwsSecrets({ region: 'eu-west-1', endpoint: manager.url, credentials: manager.credentials, timeoutMs: 3_000, maxAttempts: 2 });
});
afterEach(async () => {
  await secrets.close();
  await manager.close();
});

describe('AWS Secrets Manager', () => {
  it('answers a field, the whole text, and what was stored as bytes', async () => {
    manager.put('agentos/prod', JSON.stringify({ key: 'value', port: 5432, nested: { a: 1 } }));
    manager.put('plain', 'just text');
    manager.put('bytes', new TextEncoder().encode('as bytes'));
    expect((await secrets.get(null, 'agentos/prod#key')).value).toBe('value');
    expect((await secrets.get(null, 'agentos/prod#port')).value).toBe('5432');
    expect((await secrets.get(null, 'plain')).value).toBe('just text');
    expect((await secrets.get(null, 'bytes')).value).toBe('as bytes');
    await expect(secrets.get(null, 'plain#key')).rejects.toMatchObject({ code: 'not_found', message: expect.stringMatching(/no JSON object/) as string });
    await expect(secrets.get(null, 'agentos/prod#nested')).rejects.toMatchObject({ code: 'not_found' });
    await expect(secrets.get(null, '#key')).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('reads a secret once for all its fields', async () => {
    manager.put('agentos/prod', JSON.stringify({ a: '1', b: '2' }));
    const answers = await Promise.all(['a', 'b', 'a'].map((field) => secrets.get(null, `agentos/prod#${field}`)));
    expect(answers.map(({ value }) => value)).toEqual(['1', '2', '1']);
    expect(new Set(answers.map(({ version }) => version)).size).toBe(1);
    expect(manager.requests).toBe(1);
  });

  it('finds a secret by its ARN without being told a region', async () => {
    const arn = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:agentos-AbCdEf';
    manager.put(arn, 'value');
    const anywhere = new AwsSecrets({ endpoint: manager.url, credentials: manager.credentials });
    expect((await anywhere.get(null, arn)).value).toBe('value');
    await anywhere.close();
  });

  it.each([
    ['DecryptionFailure', 'forbidden', /kms:Decrypt/],
    ['ExpiredTokenException', 'forbidden', /ExpiredTokenException/],
    ['InvalidRequestException', 'not_found', /marked for deletion/],
  ] as const)('says what %s means, without the account', async (fault, code, words) => {
    manager.fault(fault);
    const error = await secrets.get(null, 'agentos/prod#key').catch((caught: unknown) => caught as Error);
    expect(error).toMatchObject({ code, message: expect.stringMatching(words) as string });
    expect((error as Error).message).not.toMatch(/123456789012|arn:/);
  });

  it('costs a process that has no such secret nothing: the SDK is loaded by the first read', () => {
    const module = fileURLToPath(new URL('./secrets-aws-sm.ts', import.meta.url));
    const script = `
      import { createRequire } from 'node:module';
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter((each) => each.includes('@aws-sdk')).length;
      const { AwsSecrets } = await import(${JSON.stringify(module)});
      const secrets = new AwsSecrets({ region: 'eu-west-1', endpoint: 'http://127.0.0.1:1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' }, maxAttempts: 1 });
      const before = loaded();
      await secrets.get(null, 'x').catch(() => undefined);
      console.log(before, loaded() > 0);`;
    expect(execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { encoding: 'utf8' }).trim()).toBe('0 true');
  }, 180_000);
});
