import type { PortFactory } from '../contract.ts';
import { memoryRunStore } from '../memory-store.ts';

const factory: PortFactory<'queue'> = { port: 'queue', adapter: 'memory', create: memoryRunStore };
export default factory;
