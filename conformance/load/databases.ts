/** Databases of their own on one server, so that the parts of a benchmark do not grow each other's tables. */
import pg from 'pg';

export async function freshDatabase(serverUrl: string, name: string): Promise<string> {
  await withClient(serverUrl, (client) => client.query(`CREATE DATABASE ${name}`));
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

export async function withClient<T>(url: string, body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'bench' });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

/** Writing transactions so far: each took a transaction id. Statistics views lag by up to ten seconds; this does not. */
export async function writingTransactions(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ count: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS count');
  return Number(rows[0]!.count);
}
