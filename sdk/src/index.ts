export { AgentOS } from './client.ts';
export { ApiPromise, type WithResponse } from './api-promise.ts';
export { Page, PagePromise } from './pages.ts';
export { isTerminalEvent, type EventStreamOptions } from './event-stream.ts';
export type { ClientOptions, Logger, RequestOptions } from './transport.ts';
export * from './errors.ts';
export type { Runs, RunListQuery } from './resources/runs.ts';
export type { Agents } from './resources/agents.ts';
export type { Models } from './resources/models.ts';
export type { Tenants } from './resources/tenants.ts';
export type { Peers } from './resources/peers.ts';
export type {
  Agent, AuthContext, Event, EventEnvelope, ModelCapability, ModelRequest, ModelResponse, Peer, PeerCapabilities,
  PolicyCheck, PolicyResult, Run, RunCreateRequest, RunStatus, Tenant, TenantCreate, TenantPatch,
} from '../../generated/types/index.ts';
export type { EventType } from '../../generated/types/event-types.ts';
export { ERROR_CODES, type ErrorCode } from '../../generated/types/error-codes.ts';
