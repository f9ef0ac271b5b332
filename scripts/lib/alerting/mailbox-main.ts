/** The mailbox as a process: `mailbox-main --folder <folder> --port <port>`; on loopback, unless `--host` says otherwise, as in a container. */
import { parseArgs } from 'node:util';
import { openMailbox } from './mailbox.ts';

const { values } = parseArgs({ options: { folder: { type: 'string' }, port: { type: 'string' }, host: { type: 'string', default: '127.0.0.1' } } });
const mailbox = await openMailbox(values.folder!, Number(values.port), values.host);
process.stdout.write(`Mail for ${values.host}:${mailbox.port} is kept in ${values.folder}.\n`);
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void mailbox.close().then(() => process.exit(0)));
