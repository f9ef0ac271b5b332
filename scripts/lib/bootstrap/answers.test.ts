import { describe, expect, it } from 'vitest';
import { answersOf } from './answers.ts';

/** Somebody who types these lines, and what they were asked. */
function typist(...lines: readonly string[]): { readonly ask: (question: string) => Promise<string>; readonly asked: string[] } {
  const asked: string[] = [];
  const left = [...lines];
  return { asked, ask: async (question) => {
    asked.push(question);
    const line = left.shift();
    if (line === undefined) throw new Error(`Nobody expected: ${question}`);
    return line;
  } };
}

describe('what bootstrap has to know', () => {
  it('comes from flags, without a question', async () => {
    const { ask, asked } = typist();
    const options = { tenant: 'tnt_acme', name: 'Acme Corp', admin: 'usr_ada', trustedProxy: '10.0.0.0/24' };
    expect(await answersOf(options, ask)).toEqual({ tenantId: 'tnt_acme', tenantName: 'Acme Corp', adminId: 'usr_ada', entrance: { proxies: '10.0.0.0/24' } });
    expect(asked).toEqual([]);
  });

  it('is asked for where flags leave it open, until it is right', async () => {
    const { ask, asked } = typist('7', '', 'tnt acme', ' tnt_acme ', '', 'usr_ada');
    expect(await answersOf({}, ask)).toEqual({ tenantId: 'tnt_acme', tenantName: 'tnt_acme', adminId: 'usr_ada', entrance: { proxies: 'loopback' } });
    expect(asked[1]).toMatch(/^ {2}1, 2 or 3\n/);
    expect(asked[3]).toMatch(/^ {2}a tenant's id must match pattern/);
  });

  it('may be a certificate of the services own', async () => {
    const here = import.meta.filename;
    const { ask, asked } = typist('3', '/nowhere.crt', here, here);
    expect((await answersOf({ tenant: 'tnt_acme', name: 'Acme', admin: 'usr_ada' }, ask)).entrance).toEqual({ certFile: here, keyFile: here });
    expect(asked[2]).toContain('/nowhere.crt does not exist');
  });

  it('is named all at once where nobody can be asked', async () => {
    await expect(answersOf({ admin: 'usr ada' }, null)).rejects.toMatchObject({
      exitCode: 2,
      evidence: ['--trusted-proxy loopback: missing', '--tenant tnt_acme: missing', expect.stringMatching(/^--admin usr_ada: a principal's id must match pattern /)],
    });
    await expect(answersOf({ tlsCert: '/nowhere.crt', tenant: 'tnt_acme', admin: 'usr_ada' }, null)).rejects.toMatchObject({ evidence: ['--tls-cert FILE: /nowhere.crt does not exist', '--tls-key FILE: missing'] });
  });

  it('may not say two places where TLS ends', async () => {
    await expect(answersOf({ tlsCert: import.meta.filename, trustedProxy: 'loopback' }, null)).rejects.toMatchObject({ exitCode: 2, message: expect.stringContaining('one place') });
  });
});
