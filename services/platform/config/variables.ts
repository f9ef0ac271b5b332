/**
 * Every environment variable that AgentOS reads, as one table: loading, the warnings for unknown names, `--help` and
 * the reference documentation derive from it. A secret `NAME` can also be given as a file in `NAME_FILE`.
 */
export type ServiceName = 'agent-orchestrator' | 'model-policy' | 'federation' | 'gateway' | 'cli';

export type VariableType = 'string' | 'integer' | 'number' | 'boolean' | 'enum' | 'url' | 'path' | 'list';

export interface Variable {
  readonly name: string;
  readonly type: VariableType;
  /** Typed as `type` says. Absent: the variable is undefined unless set. */
  readonly default?: string | number | boolean | readonly string[];
  readonly description: string;
  /** Redacted wherever it is shown; also read from `NAME_FILE`. */
  readonly secret?: boolean;
  /** Read from `NAME_FILE` as a secret is, but known to everybody: a public key. */
  readonly fromFile?: boolean;
  readonly services: readonly ServiceName[] | 'all';
  /** For `enum`. */
  readonly allowed?: readonly string[];
  readonly min?: number;
  readonly max?: number;
}

const AO = ['agent-orchestrator'] as const;
const MP = ['model-policy'] as const;
const FED = ['federation'] as const;
const CLI = ['cli'] as const;

export const VARIABLES = [
  // How the node runs.
  { name: 'AGENTOS_MODE', type: 'enum', allowed: ['demo', 'dev', 'prod'], description: 'How strict the node is: demo trusts headers and binds loopback only, dev needs a key or token, prod refuses every convenience. Default demo.', services: 'all' },
  { name: 'AGENTOS_PROFILE', type: 'enum', allowed: ['local', 'federated', 'gpu-node', 'demo', 'dev', 'prod'], description: 'What is started (local, federated, gpu-node). demo, dev and prod are read as AGENTOS_MODE.', services: 'all' },
  { name: 'AGENTOS_SERVICE', type: 'enum', allowed: ['agent-orchestrator', 'model-policy', 'federation', 'gateway'], description: 'The service a container runs; names its audit file.', services: 'all' },
  { name: 'AGENTOS_HOST', type: 'string', default: '127.0.0.1', description: 'Address that services listen on.', services: 'all' },
  { name: 'AGENTOS_PORT', type: 'integer', min: 0, max: 65535, description: 'Port of this one process; beats PORT and the port variable of the service.', services: 'all' },
  { name: 'PORT', type: 'integer', min: 0, max: 65535, description: 'Port of this one process, as platforms set it.', services: 'all' },
  { name: 'AGENTOS_AGENT_ORCHESTRATOR_PORT', type: 'integer', default: 50081, min: 0, max: 65535, description: 'Port of Agent Orchestrator.', services: ['agent-orchestrator', 'cli'] },
  { name: 'AGENTOS_MODEL_POLICY_PORT', type: 'integer', default: 50082, min: 0, max: 65535, description: 'Port of Model Policy.', services: ['model-policy', 'cli'] },
  { name: 'AGENTOS_FEDERATION_PORT', type: 'integer', default: 50083, min: 0, max: 65535, description: 'Port of Federation.', services: ['federation', 'cli'] },
  { name: 'AGENTOS_GATEWAY_PORT', type: 'integer', default: 50080, min: 0, max: 65535, description: 'Port of the gateway.', services: ['gateway', 'cli'] },
  { name: 'AGENTOS_AGENT_ORCHESTRATOR_URL', type: 'url', default: 'http://127.0.0.1:50081', description: 'Where the other services and the CLI find Agent Orchestrator.', services: 'all' },
  { name: 'AGENTOS_MODEL_POLICY_URL', type: 'url', default: 'http://127.0.0.1:50082', description: 'Where the other services and the CLI find Model Policy.', services: 'all' },
  { name: 'AGENTOS_FEDERATION_URL', type: 'url', default: 'http://127.0.0.1:50083', description: 'Where the other services and the CLI find Federation.', services: 'all' },
  { name: 'AGENTOS_DATA_DIR', type: 'path', default: '.agentos', description: 'Folder for everything a node keeps on disk: embedded PostgreSQL, logs, credentials.', services: 'all' },
  { name: 'AGENTOS_ENV_FILE', type: 'path', default: '.agentos.env', description: 'The file of variables below the environment in precedence.', services: 'all' },
  { name: 'AGENTOS_LOG_LEVEL', type: 'enum', allowed: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], default: 'info', description: 'Least severe log line that is written.', services: 'all' },
  { name: 'AGENTOS_CONTRACT_CHECK', type: 'boolean', description: 'Let express-openapi-validator referee requests and answers. Default: on in dev, off in demo and prod.', services: 'all' },
  { name: 'AGENTOS_STOP_GRACE_MS', type: 'integer', default: 2000, min: 0, max: 20000, description: 'How long a stopping service answers 503 on readiness before it stops accepting.', services: 'all' },
  { name: 'AGENTOS_MAX_CONNECTIONS', type: 'integer', default: 10000, min: 1, description: 'Connections a service holds at once.', services: 'all' },
  { name: 'AGENTOS_MAX_BODY_BYTES', type: 'integer', default: 262144, min: 1024, max: 16777216, description: 'Largest request body, before and after decompression.', services: 'all' },
  { name: 'AGENTOS_ADMIN_HOST', type: 'string', default: '127.0.0.1', description: 'Address of the listener for /v1/admin/, which in prod is one of its own.', services: ['agent-orchestrator', 'model-policy', 'cli'] },
  { name: 'AGENTOS_ADMIN_PORT', type: 'integer', min: 0, max: 65535, description: 'Port of that listener, for this one process. Default: the port of the service plus 10.', services: ['agent-orchestrator', 'model-policy', 'cli'] },
  { name: 'AGENTOS_CORS_ORIGINS', type: 'list', default: [], description: 'Origins of web pages that may call the services, each exactly: https://console.example.com. Unset: none.', services: 'all' },
  { name: 'AGENTOS_TRUSTED_PROXY', type: 'list', default: [], description: 'Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: loopback, addresses, ranges such as 10.0.0.0/8.', services: 'all' },
  { name: 'AGENTOS_EDGE_ADDRESS_QPS', type: 'number', default: 2000, min: 0, description: 'Requests a second from one address, and twice as many at once, before anybody looks at who is calling; the loopback interface is not limited. 0: not limited.', services: 'all' },
  { name: 'AGENTOS_EDGE_KEY_QPS', type: 'number', default: 2000, min: 0, description: 'The same for one presented credential, from whatever addresses. 0: not limited.', services: 'all' },
  { name: 'AGENTOS_EDGE_REFUSALS_PER_MINUTE', type: 'number', default: 30, min: 0, description: 'Refused credentials a minute, 20 at once, after which an address may present no new ones for a while. 0: not limited.', services: 'all' },
  { name: 'AGENTOS_EDGE_ADDRESS_CONNECTIONS', type: 'integer', default: 1000, min: 0, description: 'Connections that one address holds at once; neither loopback nor trusted proxies are counted. 0: not limited.', services: 'all' },

  // The database.
  { name: 'DATABASE_URL', type: 'url', secret: true, description: 'PostgreSQL to use: postgres://user:password@host:port/database. Unset: the embedded one.', services: 'all' },
  { name: 'AGENTOS_DB_POOL_SIZE', type: 'integer', default: 10, min: 1, max: 200, description: 'Database connections of one process.', services: 'all' },
  { name: 'AGENTOS_POSTGRES_PORT', type: 'integer', default: 50432, min: 0, max: 65535, description: 'Port of the embedded PostgreSQL.', services: CLI },

  // Identity.
  { name: 'AGENTOS_DEFAULT_TENANT', type: 'string', description: 'Tenant of requests that name none; demo and dev only. agentos up sets tnt_demo.', services: 'all' },
  { name: 'AGENTOS_ALLOW_DEV_HEADERS', type: 'boolean', description: 'Identity by X-Tenant-Id alone; demo only, refused in prod. Default: what the mode says.', services: 'all' },
  { name: 'AGENTOS_METRICS_REQUIRE_AUTH', type: 'boolean', description: 'Ask for a credential on /metrics. Default off; must be on in prod.', services: 'all' },
  { name: 'AGENTOS_SIGNING_KEY', type: 'string', secret: true, description: 'At least 32 bytes; signs the tokens between the services of a node.', services: 'all' },
  { name: 'AGENTOS_SERVICE_TOKEN', type: 'string', secret: true, description: 'API key that the CLI and outside services present.', services: CLI },
  { name: 'AGENTOS_JWT_ISSUER', type: 'string', description: 'Issuer (iss) whose tokens are accepted. Its keys: AGENTOS_JWT_JWKS_URI or AGENTOS_JWT_PUBLIC_KEY; with neither, its discovery document tells.', services: 'all' },
  { name: 'AGENTOS_JWT_AUDIENCE', type: 'string', default: 'agentos', description: 'Audience (aud) that those tokens must name.', services: 'all' },
  { name: 'AGENTOS_JWT_JWKS_URI', type: 'url', description: 'Where the public keys of the issuer are.', services: 'all' },
  { name: 'AGENTOS_JWT_PUBLIC_KEY', type: 'string', fromFile: true, description: 'One public key (PEM) of the issuer, in place of a JWKS.', services: 'all' },
  { name: 'AGENTOS_JWT_ALGORITHMS', type: 'list', default: ['RS256', 'ES256', 'EdDSA'], description: 'Signature algorithms accepted from the issuer.', services: 'all' },
  { name: 'AGENTOS_OIDC_ISSUERS_FILE', type: 'path', description: 'YAML or JSON file with the issuers of tokens and the tenants that each speaks for, beside the one of AGENTOS_JWT_ISSUER; read again when it changes. See docs/guides/security.md.', services: 'all' },
  { name: 'AGENTOS_JWT_CLOCK_SKEW_SECONDS', type: 'integer', default: 30, min: 0, max: 300, description: 'How far the clocks of issuers may differ from ours when the times in a token are judged.', services: 'all' },
  { name: 'AGENTOS_JWKS_COOLDOWN_SECONDS', type: 'number', default: 30, min: 0.1, max: 30, description: 'Shortest time between two reads of the keys of an issuer, however many unknown keys tokens name; a new key is accepted after this at the latest.', services: 'all' },
  { name: 'AGENTOS_JWKS_MAX_AGE_SECONDS', type: 'number', default: 300, min: 0.2, max: 570, description: 'Oldest that the known keys of an issuer may be while it answers; a key that it withdrew is refused after this at the latest.', services: 'all' },
  { name: 'AGENTOS_LOCAL_ISSUER_FILE', type: 'path', description: 'Public keys (JWKS file) of the issuer of this node, whose tokens agentos token makes; demo and dev only, refused in prod. agentos up sets it.', services: 'all' },

  // Secrets and TLS.
  { name: 'AGENTOS_SIGNING_KEY_PREVIOUS', type: 'string', secret: true, description: 'The signing key before this one, while it is being replaced: its tokens are accepted, and what it sealed is read.', services: 'all' },
  { name: 'AGENTOS_SECRETS_REFRESH_SECONDS', type: 'integer', default: 300, min: 1, max: 86400, description: 'How often secrets that are references (vault://, aws-sm://) are read again. Files are looked at every second.', services: 'all' },
  { name: 'AGENTOS_SECRETS_OVERLAP_SECONDS', type: 'integer', default: 300, min: 0, max: 86400, description: 'How long a signing key that was replaced is still accepted; for half of it, it still signs, so that every process learns of the new one first.', services: 'all' },
  { name: 'VAULT_ADDR', type: 'url', description: 'HashiCorp Vault for references vault://<mount>/<path>#<field>, e.g. https://vault.internal:8200.', services: 'all' },
  { name: 'VAULT_TOKEN', type: 'string', secret: true, description: 'Token for Vault; a file (VAULT_TOKEN_FILE) is read anew each time, as an agent rewrites it.', services: 'all' },
  { name: 'VAULT_NAMESPACE', type: 'string', description: 'Namespace of Vault Enterprise or HCP.', services: 'all' },
  { name: 'VAULT_CACERT', type: 'path', description: 'Certificate authority of the Vault server (PEM file), where the system does not know it.', services: 'all' },
  { name: 'AGENTOS_VAULT_AUTH', type: 'enum', allowed: ['token', 'approle', 'kubernetes'], description: 'How to log in to Vault. Default: approle where AGENTOS_VAULT_ROLE_ID is set, kubernetes where AGENTOS_VAULT_ROLE is, else token.', services: 'all' },
  { name: 'AGENTOS_VAULT_AUTH_MOUNT', type: 'string', description: 'Path that the auth method is mounted on. Default: its name.', services: 'all' },
  { name: 'AGENTOS_VAULT_ROLE_ID', type: 'string', description: 'Role id of AppRole.', services: 'all' },
  { name: 'AGENTOS_VAULT_SECRET_ID', type: 'string', secret: true, description: 'Secret id of AppRole.', services: 'all' },
  { name: 'AGENTOS_VAULT_ROLE', type: 'string', description: 'Role of the Kubernetes auth method.', services: 'all' },
  { name: 'AGENTOS_VAULT_JWT_FILE', type: 'path', default: '/var/run/secrets/kubernetes.io/serviceaccount/token', description: 'Token of the service account that the Kubernetes auth method shows to Vault.', services: 'all' },
  { name: 'AGENTOS_TLS_CERT_FILE', type: 'path', description: 'Certificate chain (PEM file) that services serve HTTPS with; read again when it changes.', services: 'all' },
  { name: 'AGENTOS_TLS_KEY_FILE', type: 'path', description: 'Key of that certificate (PEM file).', services: 'all' },

  // Runs.
  { name: 'AGENTOS_IMPLICIT_AGENTS', type: 'boolean', description: 'Run unregistered agents with a default definition. Default: on in demo and dev; refused in prod.', services: AO },
  { name: 'AGENTOS_IDEMPOTENCY_TTL_HOURS', type: 'integer', default: 24, min: 1, max: 8760, description: 'How long an idempotency key is remembered.', services: 'all' },
  { name: 'AGENTOS_TENANT_DELETION_GRACE_HOURS', type: 'integer', default: 168, min: 0, max: 87600, description: 'Hours in which a deleted tenant can be restored; afterwards its data is deleted for good. 0 deletes it at once.', services: AO },
  { name: 'AGENTOS_RUN_RETENTION_DAYS', type: 'integer', default: 30, min: 0, max: 36500, description: 'Days after its end that a run is kept with its events; 0 keeps runs for ever.', services: ['agent-orchestrator', 'federation'] },
  { name: 'AGENTOS_RETENTION_INTERVAL_MS', type: 'integer', default: 60000, min: 100, max: 86400000, description: 'Time between two looks for runs and idempotency records to delete.', services: ['agent-orchestrator', 'federation'] },
  { name: 'AGENTOS_RETENTION_BATCH', type: 'integer', default: 500, min: 1, max: 10000, description: 'Runs deleted in one transaction.', services: ['agent-orchestrator', 'federation'] },
  { name: 'AGENTOS_QUOTA_RUN_CREATE_QPS', type: 'number', default: 10, min: 0, description: 'Run creations a second for tenants without a quota of their own.', services: AO },
  { name: 'AGENTOS_QUOTA_RUN_CREATE_BURST', type: 'integer', min: 0, description: 'Run creations at once above that rate. Default: the rate.', services: AO },
  { name: 'AGENTOS_QUOTA_CONCURRENT_RUNS', type: 'integer', default: 25, min: 0, description: 'Runs queued or running at once for tenants without a quota of their own.', services: AO },
  { name: 'AGENTOS_MAX_QUEUED_RUNS', type: 'integer', default: 100000, min: 1, description: 'Runs of all tenants that may wait on the node; beyond it creations are answered 503 with Retry-After.', services: AO },
  { name: 'AGENTOS_QUOTA_INVOKE_QPS', type: 'number', default: 20, min: 0, description: 'Model calls a second for tenants without a quota of their own.', services: MP },
  { name: 'AGENTOS_MEMORY_BYTES_LIMIT', type: 'integer', default: 104857600, min: 0, description: 'Bytes of memory for tenants without a quota of their own.', services: AO },
  { name: 'AGENTOS_EMBEDDING_MODEL_REF', type: 'string', default: 'tier:balanced', description: 'Model that memory asks for vectors: tier:<name> or a model id. Items that another model embedded are not found by it.', services: AO },
  { name: 'AGENTOS_WORKER_CONCURRENCY', type: 'integer', default: 64, min: 1, max: 1024, description: 'Runs one worker process executes at once.', services: AO },
  { name: 'AGENTOS_MODEL_OUTAGE_GRACE_MS', type: 'integer', default: 15000, min: 0, max: 3600000, description: 'For so long a Model Policy that cannot be reached, as while it restarts, costs a run none of its attempts.', services: AO },
  { name: 'AGENTOS_LEASE_MS', type: 'integer', default: 10000, min: 500, description: 'How long a worker holds a run without a heartbeat.', services: AO },
  { name: 'AGENTOS_EGRESS_ALLOW', type: 'list', default: [], description: 'Hosts, addresses and ranges outside the public internet that tools, webhooks and reads of issuer keys may reach, each with or without a port: tools.internal:8080, 10.1.0.0/16.', services: 'all' },
  { name: 'AGENTOS_SQL_SOURCES', type: 'string', secret: true, description: 'Databases that tool.sql.query may read, as JSON by name: {"sales":{"url":"postgres://reader:…@host/sales","tenants":["tnt_demo"],"max_rows":200,"timeout_ms":5000}}. Tenants ["*"]: all.', services: AO },
  { name: 'AGENTOS_MCP_COMMANDS', type: 'string', secret: true, description: 'Programs that tenants may use as MCP servers, by id: clock=npx tsx clock.ts;files=mcp-files /data, or as JSON: {"files":{"command":"mcp-files","args":["/data"],"env":{}}}.', services: AO },
  { name: 'AGENTOS_QUOTA_TOOL_CALLS_PER_MINUTE', type: 'integer', min: 0, description: 'Calls of tools a minute for tenants without a quota of their own. Default: not limited.', services: AO },
  { name: 'AGENTOS_EGRESS_PORTS', type: 'list', default: ['80', '443'], description: 'Ports that tools and webhooks may reach on any allowed address.', services: 'all' },
  { name: 'AGENTOS_WEBHOOK_TIMEOUT_MS', type: 'integer', default: 15000, min: 100, max: 60000, description: 'Longest wait for the answer of a webhook for run events.', services: AO },
  { name: 'AGENTOS_WEBHOOK_CONCURRENCY', type: 'integer', default: 8, min: 1, max: 64, description: 'Deliveries to one webhook that are under way at once.', services: AO },
  { name: 'AGENTOS_WEBHOOK_RETRY_MS', type: 'integer', default: 5000, min: 10, max: 3600000, description: 'Pause before the second attempt of a delivery; it doubles with each further one, to an hour at most, for a day.', services: AO },
  { name: 'AGENTOS_WEBHOOK_MAX_FAILURES', type: 'integer', default: 30, min: 1, max: 1000, description: 'Failures in a row after which a webhook is disabled.', services: AO },
  { name: 'AGENTOS_ROLE', type: 'enum', allowed: ['api', 'worker', 'all'], default: 'all', description: 'What a process of Agent Orchestrator does.', services: AO },
  { name: 'NATS_URL', type: 'string', secret: true, description: 'NATS server with JetStream that carries wake-ups between processes, e.g. nats://user:password@host:4222; several are separated by commas. Unset: LISTEN and NOTIFY of PostgreSQL.', services: AO },
  { name: 'AGENTOS_STORE', type: 'enum', allowed: ['postgres', 'memory'], default: 'postgres', description: 'Where runs, agents and tenants live. memory keeps them in the process, for trying things out; refused in prod.', services: AO },
  { name: 'AGENTOS_RUN_STORE_FILE', type: 'path', description: 'Of earlier versions; runs live in PostgreSQL now.', services: AO },
  { name: 'AGENTOS_AGENT_STORE_DIR', type: 'path', description: 'Of earlier versions; agents live in PostgreSQL now.', services: AO },

  // Models.
  { name: 'AGENTOS_MODELS_FILE', type: 'path', description: 'YAML or JSON file with the backends, models and routing of Model Policy, in place of the variables below; read again when it changes. See docs/guides/models.md.', services: MP },
  { name: 'OPENAI_API_KEY', type: 'string', secret: true, description: 'Key of the OpenAI-compatible backend.', services: MP },
  { name: 'OPENAI_BASE_URL', type: 'url', description: 'Base URL of the OpenAI-compatible backend, e.g. http://127.0.0.1:8000/v1.', services: MP },
  { name: 'AGENTOS_MODEL_OPENAI_MODELS', type: 'string', description: 'Models of that backend as tier=model, e.g. fast=gpt-4o-mini@0.15/0.6#128000,embed=text-embedding-3-small (@ US dollars a million tokens in/out, # context window). Default: what the server lists.', services: MP },
  { name: 'AGENTOS_MODEL_VLLM_BASE_URL', type: 'url', description: 'Base URL of a vLLM server, e.g. http://127.0.0.1:8000/v1.', services: MP },
  { name: 'AGENTOS_MODEL_VLLM_API_KEY', type: 'string', secret: true, description: 'Key of the vLLM server.', services: MP },
  { name: 'AGENTOS_MODEL_VLLM_MODELS', type: 'string', description: 'Models of the vLLM server, written as for AGENTOS_MODEL_OPENAI_MODELS.', services: MP },
  { name: 'AGENTOS_MODEL_TGI_BASE_URL', type: 'url', description: 'Base URL of a Text Generation Inference server, e.g. http://127.0.0.1:8080/v1.', services: MP },
  { name: 'AGENTOS_MODEL_TGI_API_KEY', type: 'string', secret: true, description: 'Key of the TGI server.', services: MP },
  { name: 'AGENTOS_MODEL_TGI_MODELS', type: 'string', description: 'Models of the TGI server, written as for AGENTOS_MODEL_OPENAI_MODELS.', services: MP },
  { name: 'ANTHROPIC_API_KEY', type: 'string', secret: true, description: 'Key of the Anthropic API.', services: MP },
  { name: 'ANTHROPIC_BASE_URL', type: 'url', description: 'In place of https://api.anthropic.com.', services: MP },
  { name: 'AGENTOS_MODEL_ANTHROPIC_MODELS', type: 'string', description: 'Models of the Anthropic API, written as for AGENTOS_MODEL_OPENAI_MODELS.', services: MP },
  { name: 'AWS_REGION', type: 'string', description: 'Region of AWS Bedrock, e.g. us-east-1. Credentials come from the usual chain of AWS.', services: MP },
  { name: 'AGENTOS_MODEL_BEDROCK_MODELS', type: 'string', description: 'Models of AWS Bedrock, written as for AGENTOS_MODEL_OPENAI_MODELS; naming some switches Bedrock on.', services: MP },
  { name: 'AGENTOS_MODEL_BEDROCK_BASE_URL', type: 'url', description: "In place of the region's own endpoint of Bedrock.", services: MP },
  { name: 'OLLAMA_HOST', type: 'string', description: 'An Ollama server, e.g. 127.0.0.1:11434.', services: MP },
  { name: 'OLLAMA_API_KEY', type: 'string', secret: true, description: 'Key of the Ollama server, where it stands behind one that wants a key.', services: MP },
  { name: 'AGENTOS_MODEL_OLLAMA_MODELS', type: 'string', description: 'Models of the Ollama server, written as for AGENTOS_MODEL_OPENAI_MODELS.', services: MP },
  { name: 'AGENTOS_MODEL_TIMEOUT_MS', type: 'integer', default: 60000, min: 100, max: 3600000, description: 'Longest call to a model backend.', services: MP },
  { name: 'AGENTOS_MODEL_BUILTIN_FALLBACK', type: 'boolean', default: false, description: 'Let the built-in offline model stand in for a tier when the other backends fail. Off: it serves a tier only where no other backend does.', services: MP },
  { name: 'AGENTOS_MODEL_DEFAULT', type: 'string', description: 'Model that tier:balanced stands for. Default: what the router chooses.', services: MP },
  { name: 'AGENTOS_LEDGER_COMMIT', type: 'enum', allowed: ['journal', 'database'], default: 'journal', description: 'When a model call is answered: journal, once its ledger row and decision stand in a local file that is shipped to the database within 50 ms; database, once the database has them. Without a folder that can be written it is the database.', services: MP },
  { name: 'AGENTOS_JOURNAL_DIR', type: 'path', description: 'Folder of those files. Keep it on a disk that outlives the process, so that what a crash leaves there is shipped by the next one. Default: journal in AGENTOS_DATA_DIR.', services: MP },
  { name: 'AGENTOS_JOURNAL_GRACE_SECONDS', type: 'integer', default: 900, min: 10, max: 604800, description: 'How long the file of a process that is gone is waited for; then what it had set aside of budgets counts as spent.', services: MP },
  { name: 'AGENTOS_DECISION_RETENTION_DAYS', type: 'integer', default: 30, min: 1, max: 3650, description: 'Days that the decision trace of a model call is kept.', services: MP },

  // Audit.
  { name: 'AGENTOS_AUDIT_SINK', type: 'string', default: 'postgres', description: 'Where audit records are copied to, beside PostgreSQL, which always has them: stdout, stderr, file:<path>; several are separated by commas.', services: 'all' },
  { name: 'AGENTOS_AUDIT_KEY_FILE', type: 'path', description: 'Ed25519 key (PEM file, mode 600) that signs checkpoints of the audit log; made where there is none. Behind it may stand the public halves of earlier ones (agentos audit rotate-key). Default: secrets/audit-key.pem in AGENTOS_DATA_DIR.', services: 'all' },
  { name: 'AGENTOS_AUDIT_CHECKPOINTS', type: 'path', description: 'File that those checkpoints are appended to; keep it where the owner of the database cannot write. Default: audit/checkpoints.jsonl in AGENTOS_DATA_DIR.', services: 'all' },
  { name: 'AGENTOS_AUDIT_FILE_BYTES', type: 'integer', min: 4_096, default: 67_108_864, description: 'Size at which a file of checkpoints or of AGENTOS_AUDIT_SINK is set aside, under the time at which it was, and a new one begins.', services: 'all' },
  { name: 'AGENTOS_AUDIT_MIRROR_PARTS', type: 'integer', min: 1, max: 10_000, default: 10, description: 'Files of AGENTOS_AUDIT_SINK that are kept once they were set aside; older ones are deleted. Parts of checkpoints are never deleted.', services: 'all' },

  // Federation.
  { name: 'AGENTOS_PEERS_FILE', type: 'path', description: 'JSON file with this node (local) and its peers.', services: FED },
  { name: 'AGENTOS_STACK_ID', type: 'string', default: 'stk_local', description: 'Identity of this node among its peers.', services: 'all' },
  { name: 'AGENTOS_ENVIRONMENT', type: 'string', default: '', description: 'Environment this node tells its peers.', services: 'all' },
  { name: 'AGENTOS_REGION', type: 'string', default: '', description: 'Region this node tells its peers.', services: 'all' },
  { name: 'AGENTOS_GIT_SHA', type: 'string', default: 'unknown', description: 'Revision this build was made from; set where it is built.', services: 'all' },
  { name: 'AGENTOS_BUILD_TIMESTAMP', type: 'string', description: 'When this build was made (RFC 3339). Default: when the program file was written.', services: 'all' },
  { name: 'AGENTOS_FED_FORWARD_INDEX_FILE', type: 'path', description: 'Of earlier versions; the forward index lives in PostgreSQL.', services: FED },
  { name: 'AGENTOS_FED_MAX_ATTEMPTS', type: 'integer', default: 3, min: 1, max: 20, description: 'Attempts to forward a run, and connections in a row that may bring nothing to the stream of one.', services: FED },
  { name: 'AGENTOS_FED_BASE_BACKOFF_MS', type: 'integer', default: 250, min: 0, description: 'First pause between those attempts.', services: FED },
  { name: 'AGENTOS_FED_REPLICATION', type: 'enum', allowed: ['off', 'on'], default: 'off', description: 'Copy the events of runs that were forwarded from here while they happen, so that they can be read while their node is away.', services: FED },
  { name: 'AGENTOS_FED_REPLICATION_RUNS', type: 'integer', default: 64, min: 1, max: 2000, description: 'Runs whose events a process copies at once; the others take turns.', services: FED },
  { name: 'AGENTOS_FED_PEER_PORT', type: 'integer', default: 50084, min: 0, max: 65535, description: 'Port of the listener for other nodes: mutual TLS alone, open where the certificates below are set.', services: ['federation', 'cli'] },
  { name: 'AGENTOS_FED_PEER_HOST', type: 'string', default: '127.0.0.1', description: 'Address that listener binds to.', services: ['federation', 'cli'] },
  { name: 'AGENTOS_FED_PEER_URL', type: 'url', description: 'Where other nodes reach that listener, as they are told: https://agents.example.com:50084. Default: endpoints.federation_base_url of local in the peers file, or else the host and port above.', services: ['federation', 'cli'] },
  { name: 'AGENTOS_FED_REQUIRE_MTLS', type: 'boolean', default: false, description: 'Refuse to start when a certificate or key for other nodes is missing. Off, a node without them forwards nothing and hears no peer.', services: FED },
  { name: 'AGENTOS_FED_SERVER_CERT', type: 'path', description: 'Certificate (PEM file) of the listener for other nodes, with the URI urn:agentos:stack:<AGENTOS_STACK_ID>; read again when it changes. AGENTOS_FED_SERVER_CERT_FILE is the same.', services: FED },
  { name: 'AGENTOS_FED_SERVER_KEY', type: 'path', description: 'Its key (PEM file). AGENTOS_FED_SERVER_KEY_FILE is the same.', services: FED },
  { name: 'AGENTOS_FED_CA_CERT', type: 'path', description: 'Certificate authority of the nodes (PEM file). AGENTOS_FED_CA_CERT_FILE is the same.', services: FED },
  { name: 'AGENTOS_FED_CLIENT_CERT', type: 'path', description: 'Certificate (PEM file) this node shows to others, with the same URI; its key signs for the callers that are sent on. Default: the server certificate. AGENTOS_FED_CLIENT_CERT_FILE is the same.', services: FED },
  { name: 'AGENTOS_FED_CLIENT_KEY', type: 'path', description: 'Its key (PEM file). Default: the server key. AGENTOS_FED_CLIENT_KEY_FILE is the same.', services: FED },
  { name: 'AGENTOS_FED_JWT_PUBLIC_KEY', type: 'path', description: 'Of earlier versions; what a peer signs is verified with the certificate that it presents. AGENTOS_FED_JWT_PUBLIC_KEY_FILE is the same.', services: FED },
  { name: 'AGENTOS_FED_SHARED_SECRET', type: 'string', secret: true, description: 'Of earlier versions; nodes know each other by certificates alone.', services: FED },

  // Observability.
  { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', type: 'url', description: 'OpenTelemetry collector; unset: no export.', services: 'all' },
  { name: 'OTEL_SERVICE_NAME', type: 'string', description: 'Service name in traces. Default: the name of the service.', services: 'all' },
  { name: 'AGENTOS_METRICS_TENANTS', type: 'integer', default: 50, min: 0, max: 500, description: 'Tenants that have metric series of their own in each process, the busiest ones; the others count as (other). 0: none. Shown to holders of metrics:read.', services: 'all' },
  { name: 'AGENTOS_METRICS_TENANTS_ALWAYS', type: 'list', default: [], description: 'Tenants that have series of their own whatever they do, beside those; at most 500.', services: 'all' },
  { name: 'AGENTOS_PROM_URL', type: 'url', description: 'Prometheus of this node, where it is not the one of agentos observe.', services: CLI },
  { name: 'AGENTOS_ALERTMANAGER_URL', type: 'url', description: 'Alertmanager of this node, where it is not the one of agentos observe.', services: CLI },
  { name: 'AGENTOS_PROMETHEUS_PORT', type: 'integer', default: 59090, min: 1, max: 65535, description: 'Port of the Prometheus of agentos observe.', services: CLI },
  { name: 'AGENTOS_ALERTMANAGER_PORT', type: 'integer', default: 59093, min: 1, max: 65535, description: 'Port of its Alertmanager.', services: CLI },
  { name: 'AGENTOS_BLACKBOX_PORT', type: 'integer', default: 59115, min: 1, max: 65535, description: 'Port of its blackbox exporter, which asks the services from outside whether they are ready.', services: CLI },
  { name: 'AGENTOS_NODE_EXPORTER_PORT', type: 'integer', default: 59100, min: 1, max: 65535, description: 'Port of its node exporter, which tells of disks and memory.', services: CLI },
  { name: 'AGENTOS_MAILBOX_PORT', type: 'integer', default: 58025, min: 1, max: 65535, description: 'Port of the mailbox that agentos observe starts while SMTP_HOST is not set.', services: CLI },
  { name: 'SMTP_HOST', type: 'string', description: 'Mail server that alerts are sent through. Unset: they are kept in a mailbox of the node.', services: CLI },
  { name: 'SMTP_PORT', type: 'integer', default: 587, min: 1, max: 65535, description: 'Port of the mail server.', services: CLI },
  { name: 'SMTP_TLS', type: 'enum', allowed: ['starttls', 'implicit', 'off'], default: 'starttls', description: 'How the way to the mail server is encrypted: starttls, implicit (as on port 465), or not at all.', services: CLI },
  { name: 'SMTP_USER', type: 'string', description: 'Account at the mail server.', services: CLI },
  { name: 'SMTP_PASSWORD', type: 'string', secret: true, description: 'Its password.', services: CLI },
  { name: 'SMTP_FROM', type: 'string', default: 'agentos@localhost', description: 'Sender of alerts.', services: CLI },
  { name: 'AGENTOS_ALERT_EMAIL', type: 'list', default: [], description: 'Who is sent alerts; addresses separated by commas. Needed with SMTP_HOST.', services: CLI },
  { name: 'AGENTOS_GRAFANA_URL', type: 'url', description: 'Grafana of this node, for reports.', services: CLI },

  // The command line.
  { name: 'AGENTOS_HOME', type: 'path', description: 'State folder of the node: data, logs, pids, secrets. Default: .agentos in the clone.', services: CLI },
  { name: 'AGENTOS_REPORTS_DIR', type: 'path', description: 'Where reports are written. Default: reports in the clone.', services: CLI },
  { name: 'AGENTOS_API_KEY', type: 'string', secret: true, description: 'API key that the CLI and the SDK present.', services: CLI },
  { name: 'AGENTOS_TENANT_ID', type: 'string', description: 'Tenant that the CLI and the SDK act for.', services: CLI },
  { name: 'AGENTOS_BASE_URL', type: 'url', description: 'One front door for everything, for the SDK.', services: CLI },

  // The terminal.
  { name: 'NO_COLOR', type: 'string', description: 'Set to anything: no colours.', services: CLI },
  { name: 'CI', type: 'string', description: 'Set to anything but false: no prompts, plain progress lines.', services: CLI },
] as const satisfies readonly Variable[];

export type VariableName = (typeof VARIABLES)[number]['name'];
type Row = (typeof VARIABLES)[number];
type RowOf<Name extends VariableName> = Extract<Row, { readonly name: Name }>;
type ValueOf<R> = R extends { readonly type: 'integer' | 'number' }
  ? number
  : R extends { readonly type: 'boolean' }
    ? boolean
    : R extends { readonly type: 'list' }
      ? readonly string[]
      : R extends { readonly type: 'enum'; readonly allowed: readonly (infer Allowed)[] }
        ? Allowed
        : string;

/** Variables with a default are always there; the others may be undefined. */
export type ConfigValues = {
  readonly [Name in VariableName]: RowOf<Name> extends { readonly default: unknown } ? ValueOf<RowOf<Name>> : ValueOf<RowOf<Name>> | undefined;
};

export function findVariable(name: string): Variable | undefined {
  return VARIABLES.find((variable) => variable.name === name);
}
