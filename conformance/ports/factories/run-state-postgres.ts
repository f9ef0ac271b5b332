import type { PortFactory } from '../contract.ts';
import { postgresRunStore } from '../orchestrator-store.ts';

const factory: PortFactory<'run-state'> = { port: 'run-state', adapter: 'postgres', create: postgresRunStore };
export default factory;
