import { ollamaVendor } from '../../../services/model-policy/fixture/vendor-ollama.ts';
import type { PortFactory } from '../contract.ts';
import { providerHarness } from '../provider-upstream.ts';

const factory: PortFactory<'provider'> = { port: 'provider', adapter: 'ollama', create: () => providerHarness('ollama', ollamaVendor) };
export default factory;
