/** Where the token issuer of this node lies: its key among the secrets, its public half where services read it. */
import path from 'node:path';

export function localIssuerFiles(home: string): { readonly keyFile: string; readonly jwksFile: string } {
  return { keyFile: path.join(home, 'secrets', 'issuer-key.json'), jwksFile: path.join(home, 'state', 'issuer.jwks.json') };
}
