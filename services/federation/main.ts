/** The process of Federation: `main.ts [--port 50083] [--host 127.0.0.1]`. Everything else is configuration. */
import { runServiceProcess } from '../platform/http/service-process.ts';
import { compose } from './compose.ts';

await runServiceProcess({ service: 'federation', flags: { port: 'AGENTOS_PORT', host: 'AGENTOS_HOST' }, compose });
