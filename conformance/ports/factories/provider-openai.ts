import { openAiVendor } from '../../../services/model-policy/fixture/vendor-openai.ts';
import type { PortFactory } from '../contract.ts';
import { providerHarness } from '../provider-upstream.ts';

const factory: PortFactory<'provider'> = { port: 'provider', adapter: 'openai', create: () => providerHarness('openai', openAiVendor) };
export default factory;
