import type { PortFactory } from '../contract.ts';
import { postgresRunStore } from '../orchestrator-store.ts';

const factory: PortFactory<'queue'> = { port: 'queue', adapter: 'postgres', create: postgresRunStore };
export default factory;
