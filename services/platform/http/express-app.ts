/** Express as the router of all operations that do not enter the pipeline directly, and as the referee's stand. */
import express, { type ErrorRequestHandler, type Request, type Response } from 'express';
import type { Logger } from 'pino';
import { AgentOsError } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import type { Pipeline } from './operation.ts';
import type { OperationRow } from './operation-types.ts';
import { createReferee } from './referee.ts';
import { writeError } from './reply.ts';
import type { RouteMatch } from './router.ts';

export interface ExpressAppOptions {
  readonly operations: readonly OperationRow[];
  readonly pipeline: Pipeline;
  readonly log: Logger;
  /** null: no referee. */
  readonly openapiPath: string | null;
}

export type ServeThroughExpress = (match: RouteMatch, exchange: Exchange) => void;

export function createExpressApp(options: ExpressAppOptions): ServeThroughExpress {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.enable('case sensitive routing');
  app.enable('strict routing');
  const referee = options.openapiPath === null ? null : createReferee(options.openapiPath, options.log);
  const matched = new WeakMap<object, { readonly match: RouteMatch; readonly exchange: Exchange }>();

  const serve = (request: Request, response: Response): Promise<void> => {
    const { match, exchange } = matched.get(request)!;
    const refereed = referee !== null && match.row.produces !== 'text/plain' && request.method !== 'HEAD' && !match.row.planned;
    return options.pipeline.serve(match, exchange, refereed ? referee.forExchange(request, response) : null);
  };
  // Paths with a verb stand before their plain twins, which would take the verb for part of the identifier.
  const rows = [...options.operations].sort((a, b) => Number(b.path.includes('}:')) - Number(a.path.includes('}:')));
  for (const row of rows) app[row.method.toLowerCase() as 'get'](expressPath(row.path), serve);
  app.use((request: Request) => {
    throw new AgentOsError('internal_error', { message: `Express has no route for ${request.path}, which the contract has.` });
  });
  const onError: ErrorRequestHandler = (error, request, _response, _next) => {
    writeError(matched.get(request)!.exchange, error);
  };
  app.use(onError);

  return (match, exchange) => {
    const { request, response } = exchange;
    request.url = canonicalTarget(match);
    matched.set(request, { match, exchange });
    app(request as Request, response as Response);
  };
}

/** `/v1/runs/{run_id}:cancel` → `/v1/runs/:run_id\:cancel`. */
function expressPath(template: string): string {
  return template.replaceAll(':', '\\:').replaceAll(/\{([^}]+)\}/g, ':$1');
}

/** The one spelling of this request's path that Express and the referee need to know. */
function canonicalTarget({ row, path, search }: RouteMatch): string {
  const pathname = row.path.replaceAll(/\{([^}]+)\}/g, (_, name: string) => encodeURIComponent(path[name]!));
  return search === '' ? pathname : `${pathname}?${search}`;
}
