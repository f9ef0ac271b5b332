import { describe, expect, it } from 'vitest';
import { validators as config } from '../../../generated/validators/config.js';
import { validators } from '../../../generated/validators/schemas.js';
import type { Validator } from './operation-types.ts';
import { faultsOf } from './validation.ts';

function places(validator: Validator, value: unknown): readonly string[] {
  expect(validator(value)).toBe(false);
  return faultsOf(validator).map(({ path, message }) => `${path} ${message}`);
}

describe('what does not fit', () => {
  const rule = { id: 'cards', kind: 'pii', types: 'all', action: 'redact' };
  it.each([
    ['a member that is missing', { rules: [{ kind: 'pii' }] }, "/rules/0/id must have required property 'id'"],
    ['a member that the kind does not know, and not its branch', { rules: [rule, { ...rule, typse: [] }] }, '/rules/1/typse is not a known member'],
    ['a member whose name needs escapes', { rules: [], 'a/b~c': 1 }, '/a~1b~0c is not a known member'],
  ])('is named with its place: %s', (_name, value, place) => {
    expect(places(validators.PolicyWrite, value)).toEqual([place]);
  });

  const tenant = { tenant_id: 'tnt_acme', name: 'Acme' };
  const misspelt = { quotas: { runs: { max_concurent_runs: 1 } } };
  it.each([
    ['plain, misspelt', { ...tenant, ...misspelt }, '/quotas/runs/max_concurent_runs is not a known member'],
    ['plain, misspelt at the top', { ...tenant, nmae: 'Acme' }, '/nmae is not a known member'],
    ['plain, without its id', {}, "/tenant_id must have required property 'tenant_id'"],
    ['wrapped, misspelt', { tenant_create: { ...tenant, ...misspelt } }, '/tenant_create/quotas/runs/max_concurent_runs is not a known member'],
    ['wrapped, with something beside it', { tenant_create: tenant, x: 1 }, '/x is not a known member'],
  ])('is named in the form that was sent, of two that there are: %s', (_name, value, place) => {
    expect(places(validators.TenantCreateRequest, value)).toEqual([place]);
  });

  it('is named deep within a file of configuration', () => {
    const file = { backends: { local: { kind: 'ollama', health: { open: 1 } } }, models: [{ id: 'a', backend: 'local' }] };
    expect(places(config.ModelsConfig, file)).toEqual(['/backends/local/health/open is not a known member']);
  });
});
