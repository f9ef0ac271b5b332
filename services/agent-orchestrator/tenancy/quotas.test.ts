import { expect, it } from 'vitest';
import { toolEntitlement } from './quotas.ts';

it('entitles to every tool where no list is given, to those of the list where one is, and to none where the tenant is not served', () => {
  expect(toolEntitlement({ status: 'active' })).toBeNull();
  expect(toolEntitlement({ status: 'active', entitlements: { tool_ids_allowed: ['tool.echo'] } })).toEqual(['tool.echo']);
  expect(toolEntitlement({ status: 'active', entitlements: { tool_ids_allowed: [] } })).toEqual([]);
  for (const status of ['suspended', 'disabled'] as const) expect(toolEntitlement({ status, entitlements: { tool_ids_allowed: ['tool.echo'] } })).toEqual([]);
  expect(toolEntitlement(null), 'a tenant that is gone').toEqual([]);
});
