/** What a run can be found by besides its id (see migration 0005): its labels, and the run that called it. */
import { createHash } from 'node:crypto';
import type { NewRun } from '../ports/run-state.ts';

const SEPARATOR = '\u001f';

/** An index takes keys of bounded size; what is longer is found by its hash. */
const MAX_FACET_CHARACTERS = 256;

export function labelFacet(key: string, value: string): string {
  const facet = `${key}${SEPARATOR}${value}`;
  return facet.length <= MAX_FACET_CHARACTERS ? facet : createHash('sha256').update(facet).digest('hex');
}

export const parentFacet = (parentRunId: string): string => `${SEPARATOR}${parentRunId}`;

export interface FacetRow {
  readonly tenant_id: string;
  readonly run_id: string;
  readonly facet: string;
}

/** Empty for most runs: they have neither labels nor a parent. */
export function facetRows(tenantId: string, run: Pick<NewRun, 'runId' | 'labels' | 'lineage'>): FacetRow[] {
  const facets = Object.entries(run.labels).map(([key, value]) => labelFacet(key, value));
  if (run.lineage?.parentRunId !== undefined) facets.push(parentFacet(run.lineage.parentRunId));
  return facets.map((facet) => ({ tenant_id: tenantId, run_id: run.runId, facet }));
}

/** Goes out with the creation of runs that have facets, in the same transaction and round trip. */
export const ADD_FACETS = {
  name: 'ao_add_facets',
  text: `INSERT INTO orchestrator.run_facets (tenant_id, run_id, facet)
    SELECT tenant_id, run_id, facet FROM json_to_recordset($1::json) AS f (tenant_id text, run_id text, facet text) ON CONFLICT DO NOTHING`,
};
