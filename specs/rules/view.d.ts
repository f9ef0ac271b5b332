export interface ViewedOperation {
  readonly path: string;
  readonly method: string;
  readonly operationId: string | undefined;
  readonly node: Record<string, unknown>;
}
export type Resolve = (node: unknown, from: unknown) => { node: unknown; from: unknown };
export declare function internalResolver(document: object): Resolve;
export declare function viewOperations(document: object, resolve: Resolve, from: unknown): ViewedOperation[];
