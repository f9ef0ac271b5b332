import type { OperationRule } from './operation-rules.js';
import type { ViewedOperation } from './view.js';

export interface RuleException {
  readonly rule: string;
  readonly operation: string;
  readonly reason: string;
}
export declare function readExceptions(): RuleException[];
export declare function applyRule(
  rule: OperationRule,
  operations: readonly ViewedOperation[],
  exceptions: readonly RuleException[],
): Array<{ operation: ViewedOperation; message: string }>;
