import type { PortFactory } from '../contract.ts';
import { memoryRunStore } from '../memory-store.ts';

const factory: PortFactory<'events'> = { port: 'events', adapter: 'memory', create: memoryRunStore };
export default factory;
