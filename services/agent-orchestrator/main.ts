/** The process of Agent Orchestrator: `main.ts [--role api|worker|all] [--port 50081] [--host 127.0.0.1]`. Everything else is configuration. */
import { runServiceProcess } from '../platform/http/service-process.ts';
import { compose } from './compose.ts';

await runServiceProcess({ service: 'agent-orchestrator', flags: { role: 'AGENTOS_ROLE', port: 'AGENTOS_PORT', host: 'AGENTOS_HOST' }, compose });
