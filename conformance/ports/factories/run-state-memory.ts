import type { PortFactory } from '../contract.ts';
import { memoryRunStore } from '../memory-store.ts';

const factory: PortFactory<'run-state'> = { port: 'run-state', adapter: 'memory', create: memoryRunStore };
export default factory;
