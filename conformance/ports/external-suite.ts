/** What `agentos conformance` runs: the suite of one port on somebody's adapter, or only the names of all parts. */
import { beforeAll, describe, inject } from 'vitest';
import { commonSuite } from './every-port.ts';
import type { PortHarnesses, PortName } from './contract.ts';
import { loadAdapter } from './external-adapter.ts';
import { suites } from './suites/index.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** null collects the parts of every suite and runs nothing. */
    conformance: { readonly port: string; readonly file: string } | null;
  }
}

const asked = inject('conformance');
const names = (asked === null ? Object.keys(suites) : [asked.port]) as PortName[];

for (const port of names) {
  const factory = asked === null ? null : await loadAdapter(asked.file, port);
  const create = (): Promise<never> => (factory === null ? Promise.reject(new Error('Only the names of the parts were asked for.')) : (factory.create() as Promise<never>));
  if (factory !== null) beforeAll(({}, suite) => void Object.assign(suite.meta, { adapter: factory.adapter }));
  describe(port, () => {
    commonSuite(port, create);
    (suites[port] as (create: () => Promise<PortHarnesses[PortName]>) => void)(create);
  });
}
