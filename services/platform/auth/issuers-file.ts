/** The issuers file: its text, judged against specs/schemas/config/issuers.schema.json, and what its members mean. */
import { LineCounter, parseDocument } from 'yaml';
import { members, validators } from '../../../generated/validators/config.js';
import type { Issuers, IssuersConfigIssuer } from '../../../generated/types/index.ts';
import { nearest } from '../config/load.ts';
import { faultsOf, type Fault } from '../http/validation.ts';
import type { ClaimRules } from './claims.ts';
import type { JwtAlgorithm } from './issuer-keys.ts';

class IssuersConfigError extends Error {
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    super(faults.slice(0, 5).map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; '));
    this.name = 'IssuersConfigError';
    this.faults = faults;
  }
}

const DEFAULT_ALGORITHMS: readonly JwtAlgorithm[] = ['RS256', 'PS256', 'ES256', 'EdDSA'];

/** @param text YAML, of which JSON is a part @throws IssuersConfigError with every place that is wrong. */
export function parseIssuers(text: string): readonly IssuersConfigIssuer[] {
  const value = parseText(text);
  if (!validators.Issuers(value)) throw new IssuersConfigError(faultsOf(validators.Issuers).map((fault) => withNearest(fault)));
  const { issuers } = value as Issuers;
  const faults = issuers.flatMap((issuer, index) => faultsOfOne(issuer, `/issuers/${index}`, issuers.slice(0, index)));
  if (faults.length > 0) throw new IssuersConfigError(faults);
  return issuers;
}

export function algorithmsOf(issuer: IssuersConfigIssuer): readonly JwtAlgorithm[] {
  return issuer.algorithms ?? DEFAULT_ALGORITHMS;
}

/** An issuer of named tenants speaks for those alone unless the file says that it speaks for the platform. */
export function claimRulesOf(issuer: IssuersConfigIssuer): ClaimRules {
  return {
    tenants: issuer.tenants === undefined ? null : new Set(issuer.tenants),
    ...(issuer.tenant_claim === undefined ? {} : { tenantClaim: issuer.tenant_claim }),
    ...(issuer.principal_claim === undefined ? {} : { principalClaim: issuer.principal_claim }),
    ...(issuer.scope_claim === undefined ? {} : { scopeClaim: issuer.scope_claim }),
    ...(issuer.role_claim === undefined ? {} : { roleClaim: issuer.role_claim }),
    roleMap: issuer.role_map === undefined ? null : new Map(Object.entries(issuer.role_map)),
    platform: issuer.platform ?? false,
  };
}

function faultsOfOne(issuer: IssuersConfigIssuer, path: string, before: readonly IssuersConfigIssuer[]): Fault[] {
  const faults: Fault[] = [];
  if (before.some((other) => other.issuer === issuer.issuer)) faults.push({ path: `${path}/issuer`, message: `${issuer.issuer} stands here twice` });
  if (issuer.discovery === true && (issuer.jwks_uri ?? issuer.jwks_file) !== undefined) faults.push({ path: `${path}/discovery`, message: 'leaves nothing to jwks_uri or jwks_file; give one of the three' });
  if (issuer.discovery === false && issuer.jwks_uri === undefined && issuer.jwks_file === undefined) faults.push({ path, message: 'has no keys: discovery is off, and neither jwks_uri nor jwks_file is given' });
  return faults;
}

function parseText(text: string): unknown {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, strict: true, version: '1.2', schema: 'core' });
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) {
    throw new IssuersConfigError(broken.map((error) => {
      const { line, col } = lines.linePos(error.pos[0]);
      return { path: '', message: `line ${line}, column ${col}: ${error.message.split('\n')[0]!.replace(/ at line .*$/, '')}` };
    }));
  }
  return document.toJS({ maxAliasCount: 100 });
}

function withNearest(fault: Fault): Fault {
  if (fault.message !== 'is not a known member') return fault;
  const known = /^\/issuers\/\d+\/[^/]+$/.test(fault.path) ? members.IssuersConfigIssuer : members.Issuers;
  const near = nearest(fault.path.slice(fault.path.lastIndexOf('/') + 1), known);
  return { path: fault.path, message: `is not a known member; ${near === null ? `known are ${known.join(', ')}` : `did you mean ${near}?`}` };
}
