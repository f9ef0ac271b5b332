/** Checking a whole log: every chain of the store, and every chain that a checkpoint speaks of. */
import type { AuditPort } from './audit.ts';
import type { ChainName } from './chain.ts';
import type { CheckpointsRead } from './checkpoint.ts';
import { verifyChain, type ChainFault, type ChainReport } from './verify.ts';

export interface LogReport {
  readonly chains: readonly ChainReport[];
  /** Of all chains, and checkpoints that nobody signed. */
  readonly faults: readonly ChainFault[];
}

export interface LogOptions {
  /** null: all tenants. */
  readonly tenantId: string | null;
  readonly checkpoints: CheckpointsRead;
}

export async function verifyLog(audit: Pick<AuditPort, 'heads' | 'chain'>, { tenantId, checkpoints }: LogOptions): Promise<LogReport> {
  const concerned = ({ tenantId: other }: ChainName): boolean => tenantId === null || other === tenantId;
  const heads = new Map((await audit.heads(tenantId)).map((head) => [keyOf(head), head]));
  const names = new Map<string, ChainName>([...checkpoints.good.filter(concerned), ...heads.values()].map(({ tenantId: tenant, service }) => [keyOf({ tenantId: tenant, service }), { tenantId: tenant, service }]));
  const chains: ChainReport[] = [];
  for (const [key, name] of [...names].sort(([a], [b]) => (a < b ? -1 : 1))) {
    chains.push(await verifyChain({
      name,
      records: audit.chain(name),
      head: heads.get(key) ?? null,
      headAgain: async () => (await audit.heads(name.tenantId)).find(({ service }) => service === name.service) ?? null,
      checkpoints: checkpoints.good.filter((checkpoint) => keyOf(checkpoint) === key),
    }));
  }
  const unsigned = checkpoints.bad.filter(({ name }) => name === null || concerned(name)).map(({ file, line, name, sequence, unknownKeyId }): ChainFault => ({
    tenantId: name?.tenantId ?? '', service: name?.service ?? '', sequence, kind: 'unsigned', detail: `Line ${line} of ${file} is signed by no key of this node: ${unknownKeyId === null ? 'it was changed or put there by somebody else' : `it names the key ${unknownKeyId}. Where that is an earlier key of this node, put its public half behind the one that signs`}.`,
  }));
  return { chains, faults: [...chains.flatMap(({ faults }) => faults), ...unsigned] };
}

const keyOf = ({ tenantId, service }: ChainName): string => `${tenantId} ${service}`;
