/** What both kinds of OpenAI request share: refusals that name a member of the body, and what a call is made for. */
import type { ModelRequest } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';

/** @param path JSON pointer into the body */
export function refusal(path: string, message: string): AgentOsError {
  return new AgentOsError('invalid_request', { message: `${path.slice(1).replaceAll('/', '.')} ${message}.`, details: { errors: [{ path, message }] } });
}

const IDENTIFIERS = { run_id: /^run_[A-Za-z0-9_-]{1,120}$/, agent_id: /^agt_[A-Za-z0-9_-]{1,120}$/ } as const;

/** `metadata` belongs to the caller: only what has the form of our identifiers is taken for one. */
export function runContextOf(metadata: Readonly<Record<string, unknown>> | null | undefined): Pick<ModelRequest, 'context'> {
  const context: { run_id?: string; agent_id?: string } = {};
  for (const name of ['run_id', 'agent_id'] as const) {
    const value = metadata?.[name];
    if (typeof value === 'string' && IDENTIFIERS[name].test(value)) context[name] = value;
  }
  return Object.keys(context).length === 0 ? {} : { context };
}
