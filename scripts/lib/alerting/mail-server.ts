/** Where alerts are mailed to: the mail server of the configuration, or the mailbox that the node keeps itself (C-73, PRS 9.4). */
import path from 'node:path';
import { CliError, EXIT } from '../errors.ts';
import type { Settings } from '../settings.ts';

export interface MailServer {
  readonly host: string;
  readonly port: number;
  readonly tls: 'starttls' | 'implicit' | 'off';
  readonly user: string | null;
  readonly password: string | null;
  readonly from: string;
  readonly to: readonly string[];
  /** Folder of the mailbox of the node; null where mail goes to a server of the user's. */
  readonly mailbox: string | null;
}

const ADDRESS = /^[^\s@,;]+@[^\s@,;]+$/;

/** @throws CliError configuration for a mail server without recipients, or half a credential. */
export function mailServerOf({ home, config: { values } }: Pick<Settings, 'home' | 'config'>): MailServer {
  const to = values.AGENTOS_ALERT_EMAIL;
  const wrong = [...to, values.SMTP_FROM].find((address) => !ADDRESS.test(address));
  if (wrong !== undefined) throw refused(`"${wrong}" is no mail address`, 'correct AGENTOS_ALERT_EMAIL or SMTP_FROM in the environment or in .agentos.env');
  if (values.SMTP_HOST === undefined) {
    return { host: '127.0.0.1', port: values.AGENTOS_MAILBOX_PORT, tls: 'off', user: null, password: null, from: values.SMTP_FROM, to: to.length === 0 ? ['operators@localhost'] : to, mailbox: mailboxFolder(home) };
  }
  if (to.length === 0) throw refused('SMTP_HOST is set, and nobody is named who gets the alerts', 'AGENTOS_ALERT_EMAIL=ops@example.com in the environment or in .agentos.env');
  if ((values.SMTP_USER === undefined) !== (values.SMTP_PASSWORD === undefined)) throw refused('SMTP_USER and SMTP_PASSWORD belong together, and one of them is not set', 'set both, or neither');
  if (values.SMTP_USER !== undefined && values.SMTP_TLS === 'off') throw refused('SMTP_TLS is off, and the password would travel in the clear', 'SMTP_TLS=starttls or SMTP_TLS=implicit');
  return { host: values.SMTP_HOST, port: values.SMTP_PORT, tls: values.SMTP_TLS, user: values.SMTP_USER ?? null, password: values.SMTP_PASSWORD ?? null, from: values.SMTP_FROM, to, mailbox: null };
}

function mailboxFolder(home: string): string {
  return path.join(home, 'observability', 'mail');
}

const refused = (message: string, next: string): CliError => new CliError(message, { exitCode: EXIT.configuration, next });
