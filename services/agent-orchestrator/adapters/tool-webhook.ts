/**
 * A tenant's own endpoints as tools. A call is a POST, signed as Standard Webhooks has it; `webhook-id` is the
 * tool_call_id, the same over all attempts and all workers, so that an endpoint can do a thing once. Whatever the
 * endpoint answers with 2xx is the output.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { EgressClient, EgressResponse } from '../../platform/egress/egress-client.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { SecretBox } from '../../platform/secrets/secret-box.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { signWebhook } from '../../platform/webhooks/standard-webhooks.ts';
import type { ToolDescriptor, ToolInvocation, ToolPort } from '../ports/tool.ts';
import type { WebhookToolRecord } from '../ports/tool-registry.ts';
import { noSuchTool } from './tool-registrations.ts';
import { withinTime } from './tools/call-time.ts';
import { checkInput, checkOutput } from './tools/schema-check.ts';
import type { TenantTools } from './tools/tenant-tools.ts';
import { distinctNames, modelNameOf } from './tools/tool-names.ts';

/** What an answer may take on the wire; the runtime's own limit on outputs is smaller. */
const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_TOLD_CHARACTERS = 1_000;
const BASE_DELAY_MS = 250;
const MAX_DELAY_MS = 10_000;
const RETRYABLE_STATUSES = new Set([408, 425, 429]);

export interface WebhookToolsOptions {
  readonly tenantTools: TenantTools;
  readonly egress: EgressClient;
  readonly secrets: SecretBox;
}

/** What authenticates a webhook tool's sealed secret. */
export const secretPlaceOf = (auth: AuthContext, toolId: string): readonly string[] => [auth.tenant_id, 'tool', toolId];

export class WebhookTools implements ToolPort {
  readonly #options: WebhookToolsOptions;

  constructor(options: WebhookToolsOptions) {
    this.#options = options;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'webhook', contractVersion: '1.0', durable: false, features: [] };
  }

  async list(auth: AuthContext): Promise<readonly ToolDescriptor[]> {
    return distinctNames((await this.#options.tenantTools.get(auth)).tools.map(descriptorOf));
  }

  async invoke(auth: AuthContext, invocation: ToolInvocation): Promise<unknown> {
    const tool = (await this.#options.tenantTools.get(auth)).tools.find(({ toolId }) => toolId === invocation.toolId);
    if (tool === undefined) throw noSuchTool(invocation.toolId);
    checkInput(tool.toolId, tool.inputSchema, invocation.input);
    const secret = this.#options.secrets.open(tool.sealedSecret, secretPlaceOf(auth, tool.toolId));
    const output = await withinTime(invocation, (signal) => this.#attempts(auth, tool, secret, invocation, signal));
    checkOutput(tool.toolId, tool.outputSchema, output);
    return output;
  }

  async #attempts(auth: AuthContext, tool: WebhookToolRecord, secret: string, invocation: ToolInvocation, signal: AbortSignal): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(auth, tool, secret, invocation, signal);
      } catch (thrown) {
        const error = thrown as AgentOsError;
        if (attempt >= tool.attempts || !(thrown instanceof AgentOsError) || !error.retryable || signal.aborted) throw error;
        const ceiling = Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** (attempt - 1));
        await delay(Math.max(ceiling / 2 + (Math.random() * ceiling) / 2, (error.retryAfterSeconds ?? 0) * 1000), undefined, { signal });
      }
    }
  }

  async #attempt(auth: AuthContext, tool: WebhookToolRecord, secret: string, invocation: ToolInvocation, signal: AbortSignal): Promise<unknown> {
    const now = new Date();
    const body = JSON.stringify({ type: 'agentos.tool.call', timestamp: now.toISOString(), data: callOf(auth, invocation) });
    const answer = await this.#options.egress.request({
      url: tool.url, method: 'POST', body, timeoutMs: Math.min(tool.timeoutMs, invocation.timeoutMs), maxResponseBytes: MAX_ANSWER_BYTES, maxRedirects: 0, signal,
      headers: {
        'content-type': 'application/json', accept: 'application/json', traceparent: invocation.traceparent,
        ...signWebhook({ id: invocation.toolCallId, timestampSeconds: Math.floor(now.getTime() / 1000), body }, [secret]),
      },
    });
    return outputOf(tool, answer);
  }
}

export function descriptorOf(tool: WebhookToolRecord): ToolDescriptor {
  return {
    toolId: tool.toolId, name: modelNameOf(tool.toolId), kind: 'webhook', title: tool.title, description: tool.description, inputSchema: tool.inputSchema,
    outputSchema: tool.outputSchema, sideEffects: tool.sideEffects, timeoutMs: tool.timeoutMs, rateLimitPerMinute: tool.rateLimitPerMinute,
  };
}

function callOf(auth: AuthContext, { toolId, toolCallId, input, run }: ToolInvocation): Readonly<Record<string, unknown>> {
  return { tool_call_id: toolCallId, tool_id: toolId, tenant_id: auth.tenant_id, ...(run === undefined ? {} : { run_id: run.runId, agent_id: run.agentId }), input };
}

function outputOf(tool: WebhookToolRecord, { status, headers, body }: EgressResponse & { readonly body: Buffer }): unknown {
  const text = body.toString('utf8');
  if (status < 200 || status >= 300) throw refusedBy(tool, status, headers, text);
  if (text.trim() === '') return null;
  if (/^text\/plain\b/i.test(headers['content-type'] ?? '')) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new AgentOsError('tool_failed', { message: `${tool.toolId} answered something that is neither JSON nor text/plain.`, details: { tool_id: tool.toolId, reason: 'answer_not_json' }, cause });
  }
}

function refusedBy(tool: WebhookToolRecord, status: number, headers: EgressResponse['headers'], text: string): AgentOsError {
  const retryable = status >= 500 || RETRYABLE_STATUSES.has(status);
  const told = text.slice(0, MAX_TOLD_CHARACTERS).trim();
  const seconds = Number(headers['retry-after']);
  return new AgentOsError(retryable ? 'dependency_unavailable' : 'tool_failed', {
    message: `${tool.toolId} answered ${status}${told === '' ? '' : `: ${told}`}.`,
    retryable,
    details: { tool_id: tool.toolId, status },
    ...(retryable && headers['retry-after'] !== undefined && Number.isFinite(seconds) ? { retryAfterSeconds: Math.max(0, seconds) } : {}),
  });
}
