/** Whether anybody could present an API key: what a node in prod without an issuer must know before it listens. */
import type pg from 'pg';
import { withPlatform } from '../db/transaction.ts';

/** True when any tenant has a key that has neither expired nor been revoked. */
export async function hasLiveApiKey(pool: pg.Pool): Promise<boolean> {
  const { rows } = await withPlatform(pool, (client) => client.query<{ found: boolean }>('SELECT EXISTS (SELECT FROM directory.api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())) AS found'));
  return rows[0]!.found;
}
