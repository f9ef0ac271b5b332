import { anthropicVendor } from '../../../services/model-policy/fixture/vendor-anthropic.ts';
import type { PortFactory } from '../contract.ts';
import { providerHarness } from '../provider-upstream.ts';

const factory: PortFactory<'provider'> = { port: 'provider', adapter: 'anthropic', create: () => providerHarness('anthropic', anthropicVendor) };
export default factory;
