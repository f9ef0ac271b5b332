/** How long a call of a tool may take, whoever makes it. */
import { AgentOsError } from '../../../platform/errors.ts';
import type { ToolInvocation } from '../../ports/tool.ts';

/** Ends `run` by its signal when the time is up or the caller has gone. @throws AgentOsError timeout. */
export async function withinTime<T>({ toolId, timeoutMs, signal }: Pick<ToolInvocation, 'toolId' | 'timeoutMs' | 'signal'>, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  if (signal.aborted) throw abandoned(toolId, signal.reason);
  const controller = new AbortController();
  let settle: (error: AgentOsError) => void;
  const stopped = new Promise<never>((_, reject) => {
    settle = reject;
  });
  const onAbort = (): void => settle(abandoned(toolId, signal.reason));
  const timer = setTimeout(() => settle(new AgentOsError('timeout', { message: `${toolId} did not answer within ${timeoutMs} ms.`, details: { tool_id: toolId, timeout_ms: timeoutMs } })), timeoutMs);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const running = run(controller.signal);
    // When the time is up first, nobody listens to what the call ends with.
    running.catch(() => undefined);
    return await Promise.race([running, stopped]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    controller.abort();
  }
}

const abandoned = (toolId: string, cause: unknown): AgentOsError =>
  new AgentOsError('timeout', { message: `The call of ${toolId} was abandoned.`, details: { tool_id: toolId, reason: 'aborted' }, cause });
