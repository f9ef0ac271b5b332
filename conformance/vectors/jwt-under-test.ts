/** What the checks of `identity-mutants.test.ts` look at, as one module, so that a build can carry a mutant of any part of it. */
export { IssuerSet } from '../../services/platform/auth/jwt-verifier.ts';
export { createServiceTokenVerifier, issueServiceToken, serviceTokenKey } from '../../services/platform/auth/service-token.ts';
export { createApiKey, isValidApiKey } from '../../services/platform/auth/api-key.ts';
export { KeyRing } from '../../services/platform/auth/issuer-keys.ts';
