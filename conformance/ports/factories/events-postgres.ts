import type { PortFactory } from '../contract.ts';
import { postgresRunStore } from '../orchestrator-store.ts';

const factory: PortFactory<'events'> = { port: 'events', adapter: 'postgres', create: postgresRunStore };
export default factory;
