/** The mailbox as a process: `mailbox-main --folder <folder> --port <port>`. */
import { parseArgs } from 'node:util';
import { openMailbox } from './mailbox.ts';

const { values } = parseArgs({ options: { folder: { type: 'string' }, port: { type: 'string' } } });
const mailbox = await openMailbox(values.folder!, Number(values.port));
process.stdout.write(`Mail for 127.0.0.1:${mailbox.port} is kept in ${values.folder}.\n`);
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void mailbox.close().then(() => process.exit(0)));
