/** What both adapters of webhooks refuse alike. */
import { AgentOsError } from '../../platform/errors.ts';

export const webhookNotFound = (webhookId: string): AgentOsError =>
  new AgentOsError('not_found', { message: `There is no webhook ${webhookId}.`, details: { webhook_id: webhookId } });

export const tooManyWebhooks = (limit: number): AgentOsError =>
  new AgentOsError('quota_exceeded', { message: `This tenant has ${limit} webhooks, which is as many as a tenant may have. Delete one, or let one webhook serve several agents and types.`, details: { reason: 'webhooks_exceeded', limit } });

export const webhookKeyReused = (webhookId: string): AgentOsError =>
  new AgentOsError('conflict', { message: 'This idempotency key was used for another webhook. Use a new key for a new request.', details: { reason: 'idempotency_key_reused', webhook_id: webhookId } });
