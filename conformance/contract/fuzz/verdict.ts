/** What must hold of every answer, whatever was asked: declared, of the shape it declares, and telling nothing it should not. */
import type { OperationRow } from '../../../services/platform/http/operation-types.ts';
import type { WireAnswer } from '../../harness/raw-http.ts';

/** Frames of a stack, SQL, paths of files, names of tables, of modules or drivers. */
const LEAKS = /\n\s+at |node_modules|\/services\/|file:\/\/|\bSELECT\b|\bINSERT\b|syntax error at|orchestrator\.runs|pg_catalog|ECONN|SyntaxError|TypeError|RangeError|\bajv\b/;

const EVENT_STREAM = 'text/event-stream';

/** On every answer, whatever it is. */
const SAFETY_HEADERS = [['x-content-type-options', 'nosniff'], ['cache-control', 'no-store'], ['referrer-policy', 'no-referrer']] as const;

/** Reasons of the HTTP parser's own answers: it knows no operation, so none can declare them or give them a shape (conventions.md). */
const OF_THE_PARSER = ['bad_request_line', 'headers_too_large'];

/** Of a refusal by the contract alone, which is no answer to what fits it. What members say of each other a body may still break. */
const REFUSED_BY_CONTRACT = /^The request (path|query|headers) does not fit the contract/;

/**
 * What is wrong with the answer; empty when nothing is.
 * @param fit `misfit`: the request does not fit the contract; `valid`: it does, in every part; `unknown`: nobody has looked.
 */
export function faultsOfAnswer(row: OperationRow, answer: WireAnswer, fit: 'valid' | 'misfit' | 'unknown'): string[] {
  const faults: string[] = [];
  const { status } = answer;
  if (status >= 500 && !(row.planned && status === 501)) faults.push(`answers ${status}`);
  if (fit === 'misfit' && status < 400) faults.push(`answers ${status} to a request that does not fit the contract`);
  for (const [name, value] of SAFETY_HEADERS) if (answer.headers[name] !== value) faults.push(`answers without ${name}: ${value}`);
  if (answer.headers['x-injected'] !== undefined) faults.push('lets the request write a header of the answer');
  if (!isOfTheParser(answer) && !row.statuses.includes(status)) faults.push(`answers ${status}, which it does not declare`);
  if (status >= 400) faults.push(...faultsOfError(row, answer), ...faultsOfRefusal(answer, fit));
  else faults.push(...faultsOfSuccess(row, answer));
  return faults;
}

function isOfTheParser({ status, body }: WireAnswer): boolean {
  const reason = [400, 431].includes(status) ? (parsed(body) as { error?: { details?: { reason?: unknown } } } | undefined)?.error?.details?.reason : undefined;
  return typeof reason === 'string' && OF_THE_PARSER.includes(reason);
}

/** What was not looked at by whom it was sent to: turned away at the gate, by the contract that it fits, or by the database in the end. */
function faultsOfRefusal({ body }: WireAnswer, fit: string): string[] {
  const { code, message, details } = (parsed(body) as { error?: { code?: unknown; message?: unknown; details?: { reason?: unknown } } } | undefined)?.error ?? {};
  return [
    ...(code === 'rate_limited' ? ['answers that too much is asked, so nothing was'] : []),
    ...(details?.reason === 'value_not_storable' ? ['lets the database find out what is wrong with a value'] : []),
    ...(fit === 'valid' && REFUSED_BY_CONTRACT.test(String(message)) ? [`refuses what fits the contract: ${String(message)}`] : []),
  ];
}

function faultsOfError(row: OperationRow, answer: WireAnswer): string[] {
  const type = answer.headers['content-type'] ?? '';
  if (!type.startsWith('application/json')) return [`answers an error as ${type || 'nothing'}`];
  const leak = LEAKS.exec(answer.body)?.[0];
  const body = parsed(answer.body);
  if (body === undefined) return ['answers an error that is no JSON'];
  const { correlation_id: id, error } = body as { correlation_id?: unknown; error?: { code?: unknown; message?: unknown; retryable?: unknown; details?: unknown } };
  return [
    ...(leak === undefined ? [] : [`tells ${JSON.stringify(leak)}`]),
    ...(typeof id === 'string' && id === answer.headers['x-correlation-id'] ? [] : ['answers an error whose correlation_id is not that of the header']),
    ...(typeof error?.code === 'string' && typeof error.message === 'string' && typeof error.retryable === 'boolean' && typeof error.details === 'object' ? [] : ['answers an error that is not the error model']),
    ...(isOfTheParser(answer) ? [] : misfits(row, answer.status, body)),
  ];
}

function faultsOfSuccess(row: OperationRow, answer: WireAnswer): string[] {
  const type = (answer.headers['content-type'] ?? '').split(';')[0]!;
  if (answer.status === 204) return answer.body === '' ? [] : ['answers 204 with a body'];
  if (type !== row.produces && !(row.streams && type === EVENT_STREAM)) return [`answers a success as ${type || 'nothing'}`];
  if (type === EVENT_STREAM) return faultsOfLines(answer.body.split('\n').filter((line) => line.startsWith('data: ') && line !== 'data: [DONE]').map((line) => line.slice('data: '.length)));
  if (type === 'application/x-ndjson') return faultsOfLines(answer.body.split('\n').filter((line) => line !== ''));
  if (type !== 'application/json') return answer.body === '' ? [`answers ${answer.status} without a word`] : [];
  const body = parsed(answer.body);
  if (body === undefined) return [`answers ${answer.status} with something that is no JSON`];
  return row.validateResponse[answer.status] === undefined ? [`answers ${answer.status} in a shape that nobody declares`] : misfits(row, answer.status, body);
}

function faultsOfLines(lines: readonly string[]): string[] {
  return lines.filter((line) => parsed(line) === undefined).slice(0, 3).map((line) => `answers with a line that is no JSON: ${line.slice(0, 100)}`);
}

function misfits(row: OperationRow, status: number, body: unknown): string[] {
  const validator = row.validateResponse[status];
  if (validator === undefined || validator(body)) return [];
  return (validator.errors ?? []).slice(0, 3).map(({ instancePath, message }) => `answers ${status} with ${instancePath || 'a body'} that ${message ?? 'does not fit'}`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
