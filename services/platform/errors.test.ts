import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../../generated/types/error-codes.ts';
import { AgentOsError, type ErrorCode } from './errors.ts';
import { fromDatabaseError, isConnectionError } from './db/sqlstate.ts';
import { statusOf, toHttpError } from './http/errors.ts';

describe('statuses', () => {
  it.each(Object.entries(ERROR_CODES))('%s is answered with its own status', (code, row) => {
    expect(statusOf(new AgentOsError(code as ErrorCode, { message: 'x' }))).toBe(row.status);
  });

  it.each([
    ['invalid_request', 'body_too_large', 413],
    ['invalid_request', 'unsupported_media_type', 415],
    ['invalid_request', 'headers_too_large', 431],
    ['invalid_request', 'something_else', 400],
    ['quota_exceeded', 'daily_token_budget_exceeded', 403],
    ['quota_exceeded', 'max_concurrent_runs', 429],
    ['conflict', 'body_too_large', 409],
  ] as const)('%s because of %s is %i', (code, reason, status) => {
    const answered = statusOf(new AgentOsError(code, { message: 'x', details: { reason } }));
    expect(answered).toBe(status);
    expect(ERROR_CODES[code].statuses).toContain(answered);
  });
});

it('puts a policy outcome beside the error too (C-66)', () => {
  const outcome = { decision: 'blocked', reasons: ['denied_term'], redactions: [] };
  expect(toHttpError(new AgentOsError('policy_blocked', { message: 'x', details: { policy_outcome: outcome } }), 'corr_1', 'tnt_1').body).toEqual({
    error: { code: 'policy_blocked', message: 'x', retryable: false, details: { policy_outcome: outcome } },
    correlation_id: 'corr_1', tenant_id: 'tnt_1', policy_outcome: outcome,
  });
});

it('says nothing of a cause it does not know', () => {
  const answer = toHttpError(new TypeError("Cannot read properties of undefined (reading 'secret')"), 'corr_1', null);
  expect(answer.status).toBe(500);
  expect(JSON.stringify(answer.body)).not.toContain('secret');
  expect(answer.logged).toBeInstanceOf(TypeError);
});

describe('SQLSTATE', () => {
  const failure = (code: string, message = 'x') => Object.assign(new Error(message), { code });
  it.each([
    ['22P05', 'invalid_request'], ['22021', 'invalid_request'], ['22P02', 'invalid_request'], ['22003', 'invalid_request'], ['54001', 'invalid_request'],
    ['23505', 'conflict'], ['40001', 'dependency_unavailable'], ['40P01', 'dependency_unavailable'], ['08006', 'dependency_unavailable'],
    ['57P01', 'dependency_unavailable'], ['57P03', 'dependency_unavailable'], ['57014', 'dependency_unavailable'], ['53300', 'dependency_unavailable'],
    ['ECONNREFUSED', 'dependency_unavailable'], ['EPIPE', 'dependency_unavailable'],
  ])('%s → %s', (code, expected) => {
    expect(fromDatabaseError(failure(code))).toMatchObject({ code: expected });
  });

  it('leaves alone what is our own mistake or no database error at all', () => {
    for (const error of [failure('42P01'), failure('23503'), failure('ERR_INVALID_ARG_TYPE'), new Error('x'), 'text', null]) expect(fromDatabaseError(error)).toBe(error);
  });

  it('knows broken connections without a code', () => {
    for (const message of ['Connection terminated unexpectedly', 'timeout exceeded when trying to connect', 'Client has encountered a connection error and is not queryable']) {
      expect(isConnectionError(new Error(message))).toBe(true);
    }
    expect(isConnectionError(new Error('syntax error'))).toBe(false);
  });
});

it('puts into a header what a header can hold, wherever the details came from', () => {
  const answer = toHttpError(new AgentOsError('method_not_allowed', { message: 'x', details: { allow: ['GET', 'PUT\r\nset-cookie: a=b', 7, { toString: () => 'POST' }, 'HEAD'] } }), 'corr_1', null);
  expect(answer.headers['allow']).toBe('GET, HEAD');
});
