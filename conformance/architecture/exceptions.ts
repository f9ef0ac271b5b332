/**
 * Where a law is knowingly not kept, and why. An exception that is no longer needed fails the test that reads it.
 * The key is the law, the entry `path` or `path#function`.
 */
export type Law = 'function-length' | 'file-length' | 'naming' | 'domain-imports' | 'cycles';

export const exceptions: Readonly<Record<Law, Readonly<Record<string, string>>>> = {
  'function-length': {},
  'file-length': {},
  naming: {},
  'domain-imports': {},
  cycles: {},
};
