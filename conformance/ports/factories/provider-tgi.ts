import { tgiVendor } from '../../../services/model-policy/fixture/vendor-tgi.ts';
import type { PortFactory } from '../contract.ts';
import { providerHarness } from '../provider-upstream.ts';

const factory: PortFactory<'provider'> = { port: 'provider', adapter: 'tgi', create: () => providerHarness('tgi', tgiVendor) };
export default factory;
