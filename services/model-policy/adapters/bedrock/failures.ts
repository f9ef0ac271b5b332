/** What the AWS SDK throws, in the platform's codes. */
import { AgentOsError } from '../../../platform/errors.ts';
import { callerGone, failureOf, streamFailure, streamTruncated, tooSlow, unreachable, type AnswerHeaders } from '../wire/failures.ts';
import { asObject } from '../wire/json.ts';
import type { BedrockSettings } from './client.ts';
import type { CallWatch } from './watch.ts';

/** The service's own statuses do not tell these apart, and events inside a stream have none. */
const STATUS_OF: Readonly<Record<string, number>> = {
  ThrottlingException: 429, ModelNotReadyException: 429, ModelTimeoutException: 408, ValidationException: 400, ResourceNotFoundException: 404,
  AccessDeniedException: 403, UnrecognizedClientException: 403, ExpiredTokenException: 403, InvalidSignatureException: 403, ServiceQuotaExceededException: 402,
  ServiceUnavailableException: 503, InternalServerException: 500, ModelErrorException: 500, ModelStreamErrorException: 500,
};

export function bedrockFailure(settings: BedrockSettings, thrown: unknown, watch: CallWatch, inStream: boolean): AgentOsError {
  const { backend } = settings;
  if (thrown instanceof AgentOsError) return thrown;
  if (watch.why === 'caller_gone' || watch.why === 'left') return callerGone(backend, thrown);
  if (watch.why !== null) {
    const ms = { answer: settings.timeoutMs, first_byte: settings.firstByteTimeoutMs ?? settings.timeoutMs, next_byte: settings.idleTimeoutMs ?? settings.timeoutMs }[watch.why];
    return tooSlow(backend, watch.why, ms);
  }
  const error = thrown as Error & { $metadata?: { httpStatusCode?: number }; $response?: { headers?: unknown } };
  if (/^(?:CredentialsProviderError|TokenProviderError)$/.test(error.name)) {
    return new AgentOsError('dependency_unavailable', {
      message: `Backend ${backend} has no AWS credentials: none of the environment, the profile, or the machine's role gives any.`,
      retryable: false, details: { service: backend, reason: 'backend_unauthorized' }, cause: thrown,
    });
  }
  const isModelUnknown = error.name === 'ValidationException' && /model identifier is invalid/i.test(error.message);
  const status = isModelUnknown ? 404 : (STATUS_OF[error.name] ?? error.$metadata?.httpStatusCode);
  if (status === undefined || (status < 400 && !(error.name in STATUS_OF))) return inStream ? streamTruncated(backend, thrown) : unreachable(backend, thrown);
  const said = { code: error.name, message: error.message, status };
  return inStream ? streamFailure(backend, said) : failureOf(backend, status, (asObject(error.$response?.headers) ?? {}) as AnswerHeaders, said);
}
