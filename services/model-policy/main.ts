/** The process of Model Policy: `main.ts [--port 50082] [--host 127.0.0.1]`. Everything else is configuration. */
import { runServiceProcess } from '../platform/http/service-process.ts';
import { compose } from './compose.ts';

await runServiceProcess({ service: 'model-policy', flags: { port: 'AGENTOS_PORT', host: 'AGENTOS_HOST' }, compose });
