/**
 * What every operation of the contract must say of itself, as a table. `check` returns what is wrong, an empty list for
 * nothing. Known exceptions stand in exceptions.json, each with its reason; one that no longer applies fails.
 */
import { ERROR_SHAPES, EXTENSIONS, IDEMPOTENCIES, RATE_LIMITS, SCOPES, TENANCIES } from './vocabulary.js';

const isMutation = ({ method }) => ['post', 'put', 'patch', 'delete'].includes(method);
const isSuccess = (status) => status.startsWith('2');
const isError = (status) => /^[45]/.test(status) || status === 'default';
const declares = (operation, status) => operation.responses[status] !== undefined;
const lacks = (operation, statuses) => statuses.filter((status) => !declares(operation, status)).map((status) => `declares no ${status} answer`);

function oneOf(operation, extension, allowed) {
  const value = operation.node[extension];
  if (value === undefined) return [`declares no ${extension}; one of ${allowed.join(', ')}`];
  return allowed.includes(value) ? [] : [`has ${extension}: ${JSON.stringify(value)}; allowed are ${allowed.join(', ')}`];
}

/** Reference to the schema of errors that the operation is to have, in the sources or in a bundle. */
function isErrorModel(schema, { node }) {
  const model = node['x-agentos-error-shape'] === 'openai' ? /(\/openai-error\.schema\.json|\/OpenaiError)$/ : /(\/error-response\.schema\.json|\/ErrorResponse)$/;
  return typeof schema?.$ref === 'string' && model.test(schema.$ref);
}

export const operationRules = [
  {
    name: 'operation-id',
    why: 'Handlers, clients and tests are found by it.',
    check: ({ operationId }, api) => {
      if (typeof operationId !== 'string' || !/^[a-z][A-Za-z0-9]*$/.test(operationId)) return ['has no operationId in camelCase'];
      return api.filter((other) => other.operationId === operationId).length > 1 ? [`shares its operationId ${operationId} with another operation`] : [];
    },
  },
  {
    name: 'known-extensions',
    why: 'A misspelt extension would be ignored without a word.',
    check: ({ node }) =>
      Object.keys(node)
        .filter((key) => key.startsWith('x-') && !EXTENSIONS.includes(key))
        .map((key) => `has the unknown extension ${key}; known are ${EXTENSIONS.join(', ')}`),
  },
  {
    name: 'scopes',
    why: 'The pipeline asks for exactly these; an empty list says that none is needed.',
    check: ({ node }) => {
      const scopes = node['x-agentos-scopes'];
      if (!Array.isArray(scopes)) return ['declares no x-agentos-scopes; an empty list says that none is needed'];
      return scopes.filter((scope) => !SCOPES.includes(scope)).map((scope) => `asks for the unknown scope ${JSON.stringify(scope)}; known are ${SCOPES.join(', ')}`);
    },
  },
  { name: 'tenancy', why: 'Decides whose data a call may touch.', check: (operation) => oneOf(operation, 'x-agentos-tenancy', TENANCIES) },
  { name: 'idempotency', why: 'Says what a repeat does.', check: (operation) => oneOf(operation, 'x-agentos-idempotency', IDEMPOTENCIES) },
  { name: 'rate-limit', why: 'Names the bucket a call draws from.', check: (operation) => oneOf(operation, 'x-agentos-rate-limit', RATE_LIMITS) },
  {
    name: 'status-and-hot',
    why: 'Two switches with one meaning each.',
    check: ({ node }) => [
      ...(node['x-agentos-status'] === undefined || node['x-agentos-status'] === 'planned' ? [] : ['has an x-agentos-status other than planned']),
      ...(node['x-agentos-hot'] === undefined || node['x-agentos-hot'] === true ? [] : ['has an x-agentos-hot other than true; leave it out instead']),
    ],
  },
  {
    name: 'error-shape',
    why: 'The pipeline writes errors as it says.',
    check: (operation) => (operation.node['x-agentos-error-shape'] === undefined ? [] : oneOf(operation, 'x-agentos-error-shape', ERROR_SHAPES)),
  },
  {
    name: 'planned-answers-501',
    why: 'Only what is specified and not built yet may answer 501, and that must say so.',
    check: (operation) => {
      const planned = operation.node['x-agentos-status'] === 'planned';
      if (planned === declares(operation, '501')) return [];
      return [planned ? 'is planned and declares no 501 answer' : 'declares a 501 answer and is not planned'];
    },
  },
  {
    name: 'security-fits-tenancy',
    why: 'What generated clients send must be what the pipeline asks for.',
    check: ({ node }) => {
      const open = node['x-agentos-tenancy'] === 'none';
      const isOpen = Array.isArray(node.security) && node.security.length === 0;
      if (open && !isOpen) return ['is open (tenancy none) and does not say security: []'];
      return !open && (!Array.isArray(node.security) || isOpen) ? ['needs a credential and lists no security scheme'] : [];
    },
  },
  {
    name: 'identity-errors',
    why: 'Whoever needs a credential can be refused for it. Two at once are 401 everywhere, and another host\'s name is 403 in demo mode.',
    check: (operation) => lacks(operation, ['401', '403']),
  },
  {
    name: 'limit-errors',
    why: 'Every call is limited, those that need no credential by network address.',
    check: (operation) => lacks(operation, ['429']),
  },
  {
    name: 'administration-apart',
    why: 'In prod mode administration has a listener of its own; the public one knows no such path.',
    check: (operation) => (operation.path.startsWith('/v1/admin/') ? lacks(operation, ['404']) : []),
  },
  {
    name: 'slashed',
    why: 'The router lets a percent-encoded slash into that parameter and into no other.',
    check: ({ node, path }) => {
      const name = node['x-agentos-slashed'];
      return name === undefined || path.endsWith(`{${name}}`) ? [] : [`has x-agentos-slashed: ${JSON.stringify(name)}, which is not the parameter that ends its path`];
    },
  },
  {
    name: 'input-errors',
    why: 'A body can be wrong, too large or of another kind.',
    check: (operation) => lacks(operation, operation.requestBody === null ? ['400'] : ['400', '413', '415']),
  },
  { name: 'path-errors', why: 'What cannot be an identifier is an object that does not exist.', check: (operation) => (operation.path.includes('{') ? lacks(operation, ['404']) : []) },
  { name: 'server-errors', why: 'Every operation can fail by our fault, or because something it stands on is away.', check: (operation) => lacks(operation, ['500', '503']) },
  {
    name: 'error-model',
    why: 'One shape of error everywhere (Appendix A.3), and the same with more members where OpenAI\'s clients read it.',
    check: (operation) =>
      Object.entries(operation.responses)
        .filter(([status]) => isError(status))
        .filter(([, { content }]) => Object.keys(content).length !== 1 || !isErrorModel(content['application/json']?.schema, operation))
        .map(([status]) => `answers ${status} with something other than the error model`),
  },
  {
    name: 'safe-methods',
    why: 'A GET changes nothing; whatever may change something says what its repeat does.',
    check: (operation) => {
      const idempotency = operation.node['x-agentos-idempotency'];
      if (!isMutation(operation)) return idempotency === 'none' ? [] : ['is a read and declares an idempotency other than none'];
      return idempotency === 'none' ? ['may change something and declares idempotency none'] : [];
    },
  },
  {
    name: 'idempotency-key',
    why: 'Clients send the header on every mutation without knowing which ones need it (C-80).',
    check: (operation) => {
      const takes = operation.parameters.some((parameter) => parameter?.in === 'header' && parameter.name === 'Idempotency-Key');
      if (isMutation(operation)) return takes ? [] : ['is a mutation and takes no Idempotency-Key header'];
      return takes ? ['is a read and takes an Idempotency-Key header'] : [];
    },
  },
  {
    name: 'idempotency-conflict',
    why: 'A key that was used with another body is 409.',
    check: (operation) => (operation.node['x-agentos-idempotency'] === 'key' ? lacks(operation, ['409']) : []),
  },
  {
    name: 'trace-headers',
    why: 'Every answer can be found in logs and traces (PRS 4.3).',
    check: ({ responses }) =>
      Object.entries(responses).flatMap(([status, { headers }]) =>
        ['X-Request-Id', 'X-Correlation-Id', 'traceparent'].filter((name) => !headers.includes(name)).map((name) => `answers ${status} without the header ${name}`),
      ),
  },
  {
    name: 'request-examples',
    why: 'Readers and mocks start from examples.',
    check: ({ requestBody }) =>
      Object.entries(requestBody?.content ?? {}).filter(([, media]) => media.examples.length === 0).map(([contentType]) => `has no example of its ${contentType} request`),
  },
  {
    name: 'response-examples',
    why: 'Readers and mocks start from examples; a mock without one invents text that fits no pattern.',
    check: ({ responses }) =>
      Object.entries(responses).flatMap(([status, { content }]) =>
        Object.entries(content).filter(([, media]) => media.examples.length === 0).map(([contentType]) => `has no example of its ${status} ${contentType} answer`),
      ),
  },
  {
    name: 'success',
    why: 'An operation that cannot succeed is none.',
    check: ({ responses }) => (Object.keys(responses).some(isSuccess) ? [] : ['declares no 2xx answer']),
  },
  {
    name: 'streams',
    why: 'A stream says what its frames carry, so that clients can be typed.',
    check: ({ node, responses }) => {
      const media = Object.entries(responses).filter(([status]) => isSuccess(status)).map(([, { content }]) => content['text/event-stream']).find(Boolean);
      if (media === undefined) return node['x-agentos-rate-limit'] === 'stream' ? ['draws from the stream bucket and answers no text/event-stream'] : [];
      return typeof media.eventSchema === 'string' ? [] : ['answers text/event-stream without x-agentos-event-schema, the name of the schema of a frame'];
    },
  },
  {
    name: 'alias',
    why: 'A second path must not become a second operation.',
    check: (operation, api) => {
      const target = operation.node['x-agentos-alias-of'];
      if (target === undefined) return [];
      const original = api.find((other) => other.operationId === target);
      if (original === undefined) return [`is an alias of ${target}, which this document does not have`];
      if (original.node['x-agentos-alias-of'] !== undefined) return [`is an alias of ${target}, itself an alias; name the original`];
      return aliasDifferences(operation, original).map((part) => `is an alias of ${target} and has other ${part}`);
    },
  },
];

function aliasDifferences(operation, original) {
  const parts = {
    method: (view) => view.method,
    parameters: (view) => view.parameters.map((parameter) => JSON.stringify(parameter)).sort(),
    'request body': (view) => view.requestBody,
    answers: (view) => Object.keys(view.responses).sort().map((status) => [status, view.responses[status]]),
    security: (view) => view.node.security,
    ...Object.fromEntries(EXTENSIONS.filter((name) => name !== 'x-agentos-alias-of').map((name) => [name, (view) => view.node[name]])),
  };
  return Object.keys(parts).filter((part) => JSON.stringify(parts[part](operation)) !== JSON.stringify(parts[part](original)));
}

