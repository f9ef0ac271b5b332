/** A run event as a CloudEvent 1.0 in structured JSON (https://cloudevents.io), which is what a webhook receives. */
import type { CloudEvent } from '../../../generated/types/index.ts';
import { newId } from '../../platform/ids.ts';
import type { RunEvent } from '../ports/events.ts';
import type { WebhookRecord } from '../ports/webhooks.ts';

export const CLOUD_EVENT_TYPE = 'application/cloudevents+json; charset=utf-8';

/** Its id is the event's, so it is equal over every attempt and for every webhook. */
export function cloudEventOf(event: RunEvent): CloudEvent {
  return {
    specversion: '1.0',
    id: event.eventId,
    source: `/v1/runs/${event.runId}`,
    type: event.type,
    subject: event.runId,
    time: event.time,
    datacontenttype: 'application/json',
    tenantid: event.tenantId,
    agentid: event.agentId,
    runid: event.runId,
    // The CloudEvents extension of this name asks for text.
    sequence: String(event.sequence),
    traceparent: event.trace.traceparent,
    data: { ...event.payload },
  };
}

/** What `:test` sends: a new one each time, of no run. */
export function testEventOf(webhook: WebhookRecord, traceparent: string): CloudEvent {
  return {
    specversion: '1.0',
    id: newId('evt'),
    source: `/v1/webhooks/${webhook.webhookId}`,
    type: 'agentos.webhook.test',
    subject: webhook.webhookId,
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    tenantid: webhook.tenantId,
    traceparent,
    data: { message: 'A test of this webhook.' },
  };
}
