export { AgentOS } from './client.ts';
export { ApiPromise, type WithResponse } from './api-promise.ts';
export { Page, PagePromise } from './pages.ts';
export { isTerminalEvent, type EventStreamOptions } from './event-stream.ts';
export type { ClientOptions, Logger, RequestOptions } from './transport.ts';
export * from './errors.ts';
export type { Runs, RunListQuery } from './resources/runs.ts';
export type { Agents } from './resources/agents.ts';
export type { McpServers } from './resources/mcp-servers.ts';
export type { Memory } from './resources/memory.ts';
export type { Decisions, DecisionQuery } from './resources/decisions.ts';
export type { Models } from './resources/models.ts';
export type { OpenAi } from './resources/openai.ts';
export type { Policies } from './resources/policies.ts';
export type { Usage, UsageEntryQuery, UsageQuery } from './resources/usage.ts';
export type { Tools } from './resources/tools.ts';
export type { Webhooks } from './resources/webhooks.ts';
export type { Principals } from './resources/principals.ts';
export type { Keys, KeyQuery } from './resources/keys.ts';
export type { Audit, AuditFilter, AuditQuery } from './resources/audit.ts';
export type { Tenants } from './resources/tenants.ts';
export type { TenantPrincipals } from './resources/tenant-principals.ts';
export type { TenantKeys } from './resources/tenant-keys.ts';
export type { Routing } from './resources/routing.ts';
export type { Peers } from './resources/peers.ts';
export type { Federation, ForwardedRun } from './resources/federation.ts';
export type {
  Agent, AgentPermissions, AgentWrite, ApiKey, ApiKeyAnswer, ApiKeyRotateRequest, ApiKeyWrite, AuditPrincipal, AuditRecord, AuditResource, AuthContext, CloudEvent, Event, EventEnvelope, McpServer, McpServerRefreshAnswer,
  McpServerWrite, MemoryItem, MemoryItemWrite, MemoryNamespace, MemorySearchAnswer, MemorySearchRequest, MemoryUsageAnswer,
  BudgetState, FederationEventsIngestAnswer, ForwardRunRequest, ModelCapability, ModelDecision, ModelRequest, ModelResponse, ModelStreamCompleted, ModelStreamDelta, Peer, PeerCapabilities,
  OpenaiChatChunk, OpenaiChatRequest, OpenaiChatResponse, OpenaiEmbeddingsRequest, OpenaiEmbeddingsResponse,
  Policy, PolicyCheck, PolicyResult, PolicyRule, PolicyWrite, PrincipalDeleted, PrincipalRecord, PrincipalWrite, RoutingCanary, RoutingCatalogue, Run, RunBatchResult, UsageEntry, UsageReport,
  RunCreateForAgentRequest, RunCreateRequest, RunReplayAnswer, RunRetryRequest, RunStatus, TargetSelector, Tenant, TenantCreate, TenantDeleted, TenantPatch,
  Tool, ToolWrite, Webhook, WebhookDelivery, WebhookTestAnswer, WebhookWrite,
} from '../../generated/types/index.ts';
export type { EventType } from '../../generated/types/event-types.ts';
export { ERROR_CODES, type ErrorCode } from '../../generated/types/error-codes.ts';
