import { natsUnavailable } from '../../harness/nats.ts';
import type { PortFactory } from '../contract.ts';
import { natsRunStore } from '../nats-store.ts';

const factory: PortFactory<'queue'> = { port: 'queue', adapter: 'nats', create: natsRunStore, unavailable: natsUnavailable };
export default factory;
