/**
 * What the rules look at: each operation as plain data, with references followed everywhere but inside schemas, where
 * the reference itself is what counts.
 *
 * A resolver takes a node and the place it stands in and returns the node that is meant and the place of that one, so
 * that the same rules run over the sources (through Redocly) and over a bundled document (in tests).
 */

const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'options', 'head', 'trace'];

/** @typedef {(node: unknown, from: unknown) => { node: any, from: unknown }} Resolve */

/** Follows references inside one bundled document. @type {(document: object) => Resolve} */
export function internalResolver(document) {
  return (node, from) => {
    let current = node;
    while (typeof current?.$ref === 'string') {
      const parts = current.$ref.replace(/^#\//, '').split('/');
      current = parts.reduce((value, part) => value?.[part.replaceAll('~1', '/').replaceAll('~0', '~')], document);
    }
    return { node: current, from };
  };
}

/** @param {any} document @param {Resolve} resolve @param {unknown} from */
export function viewOperations(document, resolve, from) {
  const operations = [];
  for (const [path, entry] of Object.entries(document.paths ?? {})) {
    const item = resolve(entry, from);
    for (const method of METHODS) {
      const node = item.node?.[method];
      if (node !== undefined) operations.push(viewOperation({ path, method, node, shared: item.node.parameters ?? [] }, resolve, item.from));
    }
  }
  return operations;
}

function viewOperation({ path, method, node, shared }, resolve, from) {
  const body = node.requestBody === undefined ? undefined : resolve(node.requestBody, from);
  const responses = {};
  for (const [status, entry] of Object.entries(node.responses ?? {})) {
    const response = resolve(entry, from);
    responses[status] = { headers: Object.keys(response.node?.headers ?? {}), content: viewContent(response.node?.content, resolve, response.from) };
  }
  return {
    path,
    method,
    node,
    operationId: node.operationId,
    parameters: [...shared, ...(node.parameters ?? [])].map((parameter) => resolve(parameter, from).node),
    requestBody: body === undefined ? null : { required: body.node?.required === true, content: viewContent(body.node?.content, resolve, body.from) },
    responses,
  };
}

function viewContent(content, resolve, from) {
  const view = {};
  for (const [contentType, media] of Object.entries(content ?? {})) {
    const examples = Object.values(media.examples ?? {}).map((example) => resolve(example, from).node?.value);
    view[contentType] = {
      schema: media.schema,
      eventSchema: media['x-agentos-event-schema'],
      examples: media.example === undefined ? examples : [media.example, ...examples],
    };
  }
  return view;
}
