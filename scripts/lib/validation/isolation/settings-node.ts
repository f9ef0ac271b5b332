/** The running node of this command line, for the isolation check. */
import { send, type ApiRequest } from '../../api.ts';
import { operatorHeaders } from '../../identity.ts';
import type { Settings } from '../../settings.ts';
import type { IsolationNode } from './node.ts';

export function runningNode(settings: Settings, signal: AbortSignal): IsolationNode {
  return {
    headersIdentify: settings.mode === 'demo',
    operator: (service) => operatorHeaders(settings, 'platform', settings.defaultTenant, service),
    async ask({ service, method, path, headers, body }) {
      const answer = await send(settings, service, path, { method: method as NonNullable<ApiRequest['method']>, headers, signal, ...(body === undefined ? {} : { body }) });
      const told = Object.entries(answer.headers).map(([name, value]) => [name, String(value)] as const);
      return { status: answer.status, headers: Object.fromEntries(told), text: answer.text };
    },
  };
}
