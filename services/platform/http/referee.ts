/**
 * The independent referee: express-openapi-validator reads the same contract by its own means and judges every request
 * and answer. It decides nothing; it must agree. Where it does not, one of the two readings of the contract is wrong,
 * so the exchange ends as 500 with reason `contract_disagreement` and the log says who found what.
 */
import type { Request, RequestHandler, Response } from 'express';
import * as OpenApiValidator from 'express-openapi-validator';
import type { Logger } from 'pino';
import { AgentOsError } from '../errors.ts';
import type { Headers } from './reply.ts';
import type { ValidatedRequest } from './validation.ts';

/** The referee as the pipeline sees it during one exchange. */
export interface ExchangeReferee {
  /** Runs both judgements; answers or throws ours where they agree. */
  compareRequest(body: unknown, ours: () => ValidatedRequest): Promise<ValidatedRequest>;
  /** Writes the answer if the referee finds it in order. @throws AgentOsError internal_error, contract_disagreement. */
  sendJson(status: number, headers: Headers, body: unknown): void;
}

export interface Referee {
  forExchange(request: Request, response: Response): ExchangeReferee;
}

/** @param openapiPath a bundled document without `$id`: `generated/openapi/<service>.json`. */
export function createReferee(openapiPath: string, log: Logger): Referee {
  const middlewares = OpenApiValidator.middleware({
    apiSpec: openapiPath,
    validateApiSpec: false,
    validateSecurity: false,
    validateRequests: { allowUnknownQueryParameters: true, coerceTypes: false },
    validateResponses: {
      onError(error) {
        throw error;
      },
    },
    fileUploader: false,
    // Keeping references is what makes the first call of an operation compile in a fifth of the time.
    $refParser: { mode: 'bundle' },
  }) as RequestHandler[];
  return {
    forExchange(request, response) {
      const late: { error: unknown } = { error: null };
      return {
        async compareRequest(body, ours) {
          // It writes defaults and coerced values into what it is given; ours must not be judged by its hand.
          request.body = body === undefined ? undefined : structuredClone(body);
          const theirs = await run(middlewares, request, response, late);
          let validated: ValidatedRequest | null = null;
          let refusal: unknown = null;
          try {
            validated = ours();
          } catch (error) {
            refusal = error;
          }
          if ((theirs === null) !== (refusal === null)) throw disagreement(log, request, 'request', theirs, refusal);
          if (validated === null) throw refusal;
          return validated;
        },
        sendJson(status, headers, body) {
          response.status(status);
          response.set(headers);
          response.json(body);
          if (late.error === null) return;
          const error = late.error;
          late.error = null;
          for (const name of Object.keys(headers)) response.removeHeader(name);
          throw disagreement(log, request, `${status} answer`, error, null);
        },
      };
    },
  };
}

/** null when it accepts. What it calls `next` with after that concerns the answer and is kept in `late`. */
function run(middlewares: readonly RequestHandler[], request: Request, response: Response, late: { error: unknown }): Promise<unknown> {
  return new Promise((resolve) => {
    let settled = false;
    const step = (index: number): void => {
      const middleware = middlewares[index];
      if (middleware === undefined) {
        settled = true;
        resolve(null);
        return;
      }
      middleware(request, response, (error?: unknown) => {
        if (settled) {
          if (error !== undefined) late.error = error;
        } else if (error === undefined) step(index + 1);
        else {
          settled = true;
          resolve(error);
        }
      });
    };
    step(0);
  });
}

function disagreement(log: Logger, request: Request, what: string, theirs: unknown, ours: unknown): AgentOsError {
  const say = (error: unknown): string => (error === null ? 'accepts it' : error instanceof Error ? error.message : String(error));
  log.error({ method: request.method, path: request.originalUrl, referee: say(theirs), validators: say(ours) }, `The two readings of the contract disagree about a ${what}.`);
  return new AgentOsError('internal_error', {
    message: 'The two readings of the contract disagree about this exchange. Quote the correlation id when you report this.',
    retryable: false,
    details: { reason: 'contract_disagreement' },
    cause: new Error(`Referee: ${say(theirs)}. Validators: ${say(ours)}.`),
  });
}
