import { AwsBedrockProvider } from '../../../services/model-policy/adapters/provider-aws-bedrock.ts';
import { bedrockVendor } from '../../../services/model-policy/fixture/vendor-bedrock.ts';
import { startVendor } from '../../../services/model-policy/fixture/vendor-stub.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const SECRET = 'wJalrXUtnFEMI-suite-bPxRfiCYEXAMPLEKEY';

const factory: PortFactory<'provider'> = {
  port: 'provider',
  adapter: 'aws-bedrock',
  async create() {
    const server = await startVendor(bedrockVendor);
    const provider = new AwsBedrockProvider({
      backend: 'aws_bedrock', region: 'us-east-1', baseUrl: server.baseUrl, timeoutMs: 5_000, idleTimeoutMs: 300, credentials: { accessKeyId: 'AKIASUITE', secretAccessKey: SECRET },
      models: [{ modelId: bedrockVendor.chatModel, capabilities: ['chat'] }, { modelId: bedrockVendor.embedModel, capabilities: ['embed'] }],
    });
    return {
      provider,
      newTenant: async () => freshTenant(),
      upstream: { set: (mode) => server.setMode(mode), calls: () => server.stub.calls.length, open: () => server.stub.open(), connections: () => server.stub.connections(), key: SECRET },
      async dispose() {
        await server.close();
        await provider.close();
      },
    };
  },
};
export default factory;
