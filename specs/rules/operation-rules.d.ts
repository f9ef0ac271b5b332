import type { ViewedOperation } from './view.js';

export interface OperationRule {
  readonly name: string;
  readonly why: string;
  /** What is wrong with an operation, given all operations of its document. */
  check(operation: ViewedOperation, api: readonly ViewedOperation[]): string[];
}
export declare const operationRules: readonly OperationRule[];
