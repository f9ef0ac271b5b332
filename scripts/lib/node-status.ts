/** What of the node runs now. Looks only; starts, stops and changes nothing. */
import { connect } from 'node:net';
import type { CliServiceStatus, CliStatus } from '../../generated/types/index.ts';
import { nodesOf, prefixOf } from './nodes.ts';
import { postgresStatus } from './postgres/index.ts';
import { statSync } from 'node:fs';
import path from 'node:path';
import { SERVICES, type ServiceEntry } from './services/catalog.ts';
import { probeService } from './services/probe.ts';
import { livingState } from './services/state.ts';
import { listenerOf, type Settings } from './settings.ts';

export async function nodeStatus(settings: Settings): Promise<CliStatus> {
  const services = (await Promise.all(nodesOf(settings).map(statusesOf))).flat();
  return {
    command: 'status',
    up: services.every((service) => service.state === 'ready' || service.state === 'external'),
    mode: settings.mode,
    home: settings.home,
    services,
  };
}

async function statusesOf(node: Settings): Promise<readonly CliServiceStatus[]> {
  const rows = await Promise.all([databaseStatus(node), ...SERVICES.map((service) => serviceStatus(node, service))]);
  return rows.map((row) => ({ ...row, name: `${prefixOf(node)}${row.name}` }));
}

async function serviceStatus(settings: Settings, service: ServiceEntry): Promise<CliServiceStatus> {
  const living = livingState(settings.home, service.name);
  const { host, port, tls } = listenerOf(settings, service.name);
  const probe = await probeService(service, { host, port, tls });
  const state = probe.ready ? 'ready' : probe.healthy || living !== null ? 'not_ready' : 'down';
  return {
    name: service.name,
    state,
    pid: living?.pid ?? null,
    port,
    url: `${tls ? 'https' : 'http'}://${host}:${port}`,
    uptime_seconds: living === null ? null : secondsSince(Date.parse(living.startedAt)),
    detail: probe.ready && living === null ? 'ready (not started by this clone)' : probe.detail,
  };
}

async function databaseStatus(settings: Settings): Promise<CliServiceStatus> {
  if (settings.databaseUrl !== null) {
    const url = new URL(settings.databaseUrl);
    const port = Number(url.port || 5432);
    const reachable = await accepts(url.hostname, port);
    return { name: 'postgres', state: reachable ? 'external' : 'down', pid: null, port, url: `postgres://${url.host}${url.pathname}`, uptime_seconds: null, detail: reachable ? 'external server (DATABASE_URL)' : 'DATABASE_URL does not accept connections' };
  }
  const server = postgresStatus(settings.home);
  if (server === null) return { name: 'postgres', state: 'down', pid: null, port: null, url: null, uptime_seconds: null, detail: 'not running' };
  const reachable = await accepts('127.0.0.1', server.port);
  return {
    name: 'postgres',
    state: reachable ? 'ready' : 'not_ready',
    pid: server.pid,
    port: server.port,
    url: `postgres://127.0.0.1:${server.port}/agentos`,
    uptime_seconds: secondsSince(statSync(path.join(server.dataDir, 'postmaster.pid')).ctimeMs),
    detail: reachable ? 'ready' : 'does not accept connections',
  };
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: host.replace(/^\[|\]$/g, ''), port, timeout: 2_000 });
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => end(true)).once('timeout', () => end(false)).once('error', () => end(false));
  });
}

function secondsSince(moment: number): number {
  return Math.max(0, Math.round((Date.now() - moment) / 1_000));
}
