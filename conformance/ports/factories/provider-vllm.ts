import { vllmVendor } from '../../../services/model-policy/fixture/vendor-vllm.ts';
import type { PortFactory } from '../contract.ts';
import { providerHarness } from '../provider-upstream.ts';

const factory: PortFactory<'provider'> = { port: 'provider', adapter: 'vllm', create: () => providerHarness('vllm', vllmVendor) };
export default factory;
