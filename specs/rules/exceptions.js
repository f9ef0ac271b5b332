/** Exceptions by name: a rule that one operation may break, and why. One that the operation does not need any more is itself a fault. */
import { readFileSync } from 'node:fs';

/** @returns {{ rule: string, operation: string, reason: string }[]} */
export function readExceptions() {
  return JSON.parse(readFileSync(new URL('./exceptions.json', import.meta.url), 'utf8'));
}

/**
 * Runs one rule over all operations of a document.
 * @returns {{ operation: any, message: string }[]}
 */
export function applyRule(rule, operations, exceptions) {
  const problems = [];
  for (const operation of operations) {
    const name = operation.operationId ?? `${operation.method.toUpperCase()} ${operation.path}`;
    const found = rule.check(operation, operations);
    const exception = exceptions.find((entry) => entry.rule === rule.name && entry.operation === name);
    if (exception === undefined) problems.push(...found.map((message) => ({ operation, message: `${name} ${message}. ${rule.why}` })));
    else if (found.length === 0) {
      problems.push({ operation, message: `${name} does not break the rule ${rule.name} any more. Remove the exception from specs/rules/exceptions.json.` });
    }
  }
  return problems;
}
