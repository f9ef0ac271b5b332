/** The rules of operation-rules.js as a Redocly plugin: `redocly lint` reports each at the operation's place in the sources. */
import { applyRule, readExceptions } from './exceptions.js';
import { operationRules } from './operation-rules.js';
import { viewOperations } from './view.js';

/** Follows references from file to file, each relative to the file it stands in. */
function sourceResolver(context) {
  return (node, from) => {
    let current = node;
    let file = from;
    while (typeof current?.$ref === 'string') {
      const resolved = context.resolve(current, file);
      if (resolved.node === undefined) return { node: undefined, from: file };
      current = resolved.node;
      file = resolved.location.source.absoluteRef;
    }
    return { node: current, from: file };
  };
}

function toRedoclyRule(rule) {
  return () => ({
    Root(document, context) {
      const operations = viewOperations(document, sourceResolver(context), context.location.source.absoluteRef);
      for (const { operation, message } of applyRule(rule, operations, readExceptions())) {
        context.report({ message, location: context.location.child(['paths', operation.path, operation.method]) });
      }
    },
  });
}

export default function agentosPlugin() {
  const rules = Object.fromEntries(operationRules.map((rule) => [rule.name, toRedoclyRule(rule)]));
  return {
    id: 'agentos',
    rules: { oas3: rules },
    configs: { all: { rules: Object.fromEntries(operationRules.map((rule) => [`agentos/${rule.name}`, 'error'])) } },
  };
}
