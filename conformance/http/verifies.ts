/**
 * Ties a test to the requirements it proves.
 *
 *     it('answers 404 for another tenant', verifies(['PRS-13-09'], async () => { … }));
 *
 * An unknown id neither compiles nor runs. `coverage.ts` finds the citations by reading the sources, so the ids must
 * stand in the call as literals.
 */
import { isRequirement, type RequirementId } from './requirements.ts';

export function verifies<Test>(ids: RequirementId | readonly RequirementId[], test: Test): Test {
  const cited = typeof ids === 'string' ? [ids] : ids;
  if (cited.length === 0) throw new Error('verifies: name at least one requirement id.');
  const unknown = cited.filter((id) => !isRequirement(id));
  if (unknown.length > 0) {
    throw new Error(`verifies: no such requirement: ${unknown.join(', ')}. The ids stand in conformance/http/requirements.ts.`);
  }
  return test;
}
