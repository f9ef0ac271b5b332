/**
 * The mailbox of a node: a mail server on loopback that keeps what it is sent, one file a mail, so that alerts work
 * before anybody has named a real one. It relays nothing.
 */
import { createWriteStream, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { SMTPServer } from 'smtp-server';

const MAX_BYTES = 1_048_576;
/** The newest mails that are kept. */
const KEPT = 500;

export interface Mailbox {
  readonly port: number;
  close(): Promise<void>;
}

export async function openMailbox(folder: string, port: number, host = '127.0.0.1'): Promise<Mailbox> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  let count = 0;
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    size: MAX_BYTES,
    logger: false,
    onData(stream, _session, done) {
      const name = `${new Date().toISOString().replace(/[:.]/g, '-')}-${process.pid}-${(count += 1)}.eml`;
      const unfinished = path.join(folder, `.${name}`);
      pipeline(stream, createWriteStream(unfinished, { mode: 0o600 })).then(() => {
        if (stream.sizeExceeded) {
          rmSync(unfinished, { force: true });
          return done(Object.assign(new Error('The mail is too large.'), { responseCode: 552 }));
        }
        renameSync(unfinished, path.join(folder, name));
        for (const old of mailFiles(folder).slice(0, -KEPT)) rmSync(path.join(folder, old), { force: true });
        done();
      }).catch((error: Error) => {
        rmSync(unfinished, { force: true });
        done(error);
      });
    },
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      // A client that hangs up is no matter for the mailbox.
      server.on('error', () => undefined);
      resolve();
    });
  });
  const address = server.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}

/** Oldest first. */
export function mailFiles(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((file) => file.endsWith('.eml') && !file.startsWith('.')).sort();
  } catch {
    return [];
  }
}

/** The newest mail that holds these words; null when there is none yet. Transfer encodings are undone as far as words go. */
export function findMail(folder: string, words: string): { readonly file: string; readonly text: string } | null {
  for (const file of [...mailFiles(folder)].reverse()) {
    const text = readFileSync(path.join(folder, file), 'utf8').replace(/=\r?\n/g, '').replace(/=3D/g, '=');
    if (text.includes(words)) return { file: path.join(folder, file), text };
  }
  return null;
}
