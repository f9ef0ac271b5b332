import { natsUnavailable } from '../../harness/nats.ts';
import type { PortFactory } from '../contract.ts';
import { natsRunStore } from '../nats-store.ts';

const factory: PortFactory<'events'> = { port: 'events', adapter: 'nats', create: natsRunStore, unavailable: natsUnavailable };
export default factory;
