/**
 * The AWS SDK for Bedrock, loaded when the first call needs it: it takes longer to load than everything else here. Signs
 * with the usual chain of AWS credentials, tries nothing twice, and keeps a bounded pool of HTTP/1.1 connections, which
 * every endpoint of Bedrock and every proxy before it speaks.
 */
import type { BedrockRuntimeClient } from '@aws-sdk/client-bedrock-runtime';

export interface BedrockSettings {
  /** As it stands in `route.backend`. */
  readonly backend: string;
  readonly region: string;
  /** In place of the region's own endpoint. */
  readonly baseUrl?: string;
  /** In place of the AWS chain (environment, profile, web identity, container, instance). */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string };
  /** Whole call, milliseconds. */
  readonly timeoutMs: number;
  readonly connectTimeoutMs?: number;
  readonly firstByteTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly maxConnections?: number;
}

export interface LoadedBedrock {
  readonly sdk: typeof import('@aws-sdk/client-bedrock-runtime');
  readonly client: BedrockRuntimeClient;
}

const CONNECT_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 256;

export async function loadBedrock(settings: BedrockSettings): Promise<LoadedBedrock> {
  const [sdk, { NodeHttpHandler }] = await Promise.all([import('@aws-sdk/client-bedrock-runtime'), import('@smithy/node-http-handler')]);
  const agent = { keepAlive: true, maxSockets: settings.maxConnections ?? MAX_CONNECTIONS };
  const client = new sdk.BedrockRuntimeClient({
    region: settings.region,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({ connectionTimeout: settings.connectTimeoutMs ?? CONNECT_TIMEOUT_MS, httpAgent: agent, httpsAgent: agent }),
    ...(settings.baseUrl === undefined ? {} : { endpoint: settings.baseUrl }),
    ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
  });
  return { sdk, client };
}
