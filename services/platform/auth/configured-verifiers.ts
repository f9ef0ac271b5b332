/** The credentials that the configuration makes understandable: tokens between our services, and those of one issuer. */
import { ConfigError } from '../config/load.ts';
import type { ConfigValues } from '../config/variables.ts';
import { createJwtVerifier, type JwtAlgorithm, type JwtVerifier } from './jwt-verifier.ts';
import { createServiceTokenVerifier, serviceTokenKey, type ServiceTokenVerifier } from './service-token.ts';

type VerifierConfig = Pick<ConfigValues, 'AGENTOS_SIGNING_KEY' | 'AGENTOS_JWT_ISSUER' | 'AGENTOS_JWT_AUDIENCE' | 'AGENTOS_JWT_JWKS_URI' | 'AGENTOS_JWT_PUBLIC_KEY' | 'AGENTOS_JWT_ALGORITHMS'>;

/**
 * @param audience the service that verifies, e.g. `model-policy`
 * @throws ConfigError when the issuer's settings are incomplete.
 */
export function configuredVerifiers(values: VerifierConfig, audience: string): { readonly service?: ServiceTokenVerifier; readonly jwt?: JwtVerifier } {
  const { AGENTOS_SIGNING_KEY: signingKey, AGENTOS_JWT_ISSUER: issuer, AGENTOS_JWT_JWKS_URI: jwksUri, AGENTOS_JWT_PUBLIC_KEY: publicKeyPem } = values;
  const service = signingKey === undefined ? {} : { service: createServiceTokenVerifier(serviceTokenKey(signingKey), audience) };
  if (issuer === undefined) {
    if (jwksUri !== undefined || publicKeyPem !== undefined) throw new ConfigError('AGENTOS_JWT_ISSUER', 'AGENTOS_JWT_ISSUER is not set, but a key of the issuer is. Set it to the `iss` of its tokens.');
    return service;
  }
  if ((jwksUri === undefined) === (publicKeyPem === undefined)) {
    throw new ConfigError('AGENTOS_JWT_JWKS_URI', `AGENTOS_JWT_ISSUER is ${issuer}: set either AGENTOS_JWT_JWKS_URI or AGENTOS_JWT_PUBLIC_KEY, and not both.`);
  }
  const keys = jwksUri !== undefined ? { jwksUri } : { publicKeyPem: publicKeyPem! };
  return { ...service, jwt: createJwtVerifier([{ issuer, audience: values.AGENTOS_JWT_AUDIENCE, algorithms: values.AGENTOS_JWT_ALGORITHMS as readonly JwtAlgorithm[], keys }]) };
}
