/** Writes grafana/dashboards/*.json: `npx tsx deploy/observability/dashboards/write.ts`. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DASHBOARDS } from './dashboards.ts';
import { dashboardJson } from './panels.ts';

for (const [name, dashboard] of Object.entries(DASHBOARDS)) {
  writeFileSync(fileURLToPath(new URL(`../grafana/dashboards/${name}.json`, import.meta.url)), `${JSON.stringify(dashboardJson(dashboard), null, 2)}\n`);
}
