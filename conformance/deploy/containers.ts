/**
 * Runs the services of a compose file as an engine would, out of namespaces and mounts: each program alone in a root
 * that holds the image and what it needs of its base (node and its libraries; no shell), read-only where the file says
 * so, as the user that the file names, without capabilities, with the volumes, tmpfs and secrets that it lists and
 * nothing else to write to, in a network of its own that reaches those that the file connects it to. Needs root.
 *
 * What it is not: an engine. There are no cgroups, no seccomp filter, no user namespace, and node is the first process
 * even where the file asks for an init.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ComposeFile, ComposeService } from './compose-file.ts';
import type { BuiltImage } from './image.ts';

const SETUP = fileURLToPath(new URL('./container-setup.sh', import.meta.url));

export interface Container {
  readonly name: string;
  /** Address in a network of the file. */
  address(network: string): string;
  /** Of the program, as this machine counts. */
  readonly pid: number;
  readonly running: boolean;
  output(): string;
  /** Runs a program in it, as `docker exec` does. */
  exec(command: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }>;
  /** Resolves with the exit code, and the milliseconds it took; null when it had to be killed. */
  stop(): Promise<{ readonly code: number | null; readonly ms: number }>;
  /** Resolves when it ends by itself. */
  ended(): Promise<number | null>;
}

/** Why containers cannot be run here; null when they can. */
export function obstacle(): string | null {
  if (process.platform !== 'linux') return 'namespaces are Linux';
  if (process.getuid?.() !== 0) return 'mounting and changing users needs root';
  for (const tool of ['unshare', 'nsenter', 'setpriv', 'ip', 'openssl', 'psql', 'ldd']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `${tool} is not installed (deploy/check.sh installs it)`;
  }
  const name = `aot-${process.pid}`;
  const tried = spawnSync('sh', ['-c', `ip netns add ${name} && ip link add ${name} type bridge && ip link del ${name} && ip netns del ${name} && unshare --mount --pid --fork true`], { encoding: 'utf8' });
  spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
  return tried.status === 0 ? null : `namespaces are not permitted here: ${tried.stderr.trim()}`;
}

export class Engine {
  readonly #image: BuiltImage;
  readonly #folder: string;
  readonly #file: ComposeFile;
  readonly #secrets: string;
  readonly #networks = new Map<string, { readonly bridge: string; readonly prefix: string }>();
  readonly #addresses = new Map<string, string>();
  readonly #containers: RunningContainer[] = [];
  readonly #id: string;
  readonly #base: string;

  /** @param options.secrets the folder that stands for the one of the file. @param options.outside names that stand for services which do not run here, all at the host's end of each network. */
  constructor(options: { readonly image: BuiltImage; readonly folder: string; readonly file: ComposeFile; readonly secrets: string; readonly outside: readonly string[] }) {
    this.#image = options.image;
    this.#folder = options.folder;
    this.#file = options.file;
    this.#secrets = options.secrets;
    this.#id = randomInt(0x1000, 0xffff).toString(16);
    const octet = randomInt(1, 250);
    for (const [index, network] of Object.keys(options.file.networks).entries()) {
      const [bridge, prefix] = [`aot${this.#id}b${index}`, `10.${200 + index}.${octet}`];
      // Said, since a bridge otherwise takes the lowest address of who joins it, and nobody who has asked for it before finds it any more.
      const address = `02:a0:${this.#id.padStart(4, '0').replace(/..(?=.)/, '$&:')}:${index.toString(16).padStart(2, '0')}:01`;
      sh(`ip link add ${bridge} address ${address} type bridge && ip addr add ${prefix}.1/24 dev ${bridge} && ip link set ${bridge} up`);
      this.#networks.set(network, { bridge, prefix });
      for (const [position, name] of Object.keys(options.file.services).entries()) {
        this.#addresses.set(`${network}/${name}`, `${prefix}.${options.outside.includes(name) ? 1 : position + 10}`);
      }
    }
    this.#base = this.#makeBase();
  }

  /** This machine's address in a network: where what stands for a service has to listen. */
  host(network: string): string {
    return `${this.#networks.get(network)!.prefix}.1`;
  }

  /** The folder of a named volume. */
  volume(name: string): string {
    return join(this.#folder, 'volumes', name);
  }

  /** @param more arguments in place of the file's command. */
  async start(name: string, more?: readonly string[]): Promise<Container> {
    const service = this.#file.services[name]!;
    const container = new RunningContainer(name, service, (network) => this.#addresses.get(`${network}/${name}`)!, this.#image);
    const shared = /^service:(.+)$/.exec(service.network_mode ?? '')?.[1];
    const namespace = shared === undefined ? this.#makeNamespace(name, service.networks ?? []) : `aot${this.#id}-${shared}`;
    const hosts = join(this.#folder, `hosts-${name}`);
    const networks = this.#file.services[shared ?? name]!.networks ?? [];
    writeFileSync(hosts, ['127.0.0.1 localhost', ...networks.flatMap((network) => Object.keys(this.#file.services).filter((other) => this.#file.services[other]!.networks?.includes(network)).map((other) => `${this.#addresses.get(`${network}/${other}`)} ${other}`))].join('\n'));
    const mounts = this.#mountsOf(name, service, hosts);
    this.#containers.push(container);
    await container.launch({ namespace, root: this.#base, mounts, command: more ?? service.command ?? [] });
    return container;
  }

  async close(): Promise<void> {
    for (const container of this.#containers.splice(0)) await container.kill();
    const namespaces = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).split('\n').map((line) => line.split(' ')[0]!);
    for (const namespace of namespaces.filter((each) => each.startsWith(`aot${this.#id}-`))) spawnSync('ip', ['netns', 'del', namespace]);
    for (const { bridge } of this.#networks.values()) spawnSync('ip', ['link', 'del', bridge]);
  }

  /** The image over what it needs of its base. All containers share it: none can write to it. */
  #makeBase(): string {
    const base = this.#image.folder;
    for (const folder of ['proc', 'dev', 'tmp', 'etc', 'nodejs/bin', 'run/secrets', 'lib64']) mkdirSync(join(base, folder), { recursive: true });
    // As the base has it; the user that programs run as is in neither file.
    writeFileSync(join(base, 'etc/passwd'), 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n');
    writeFileSync(join(base, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
    for (const file of ['etc/hosts', ...Object.keys(this.#file.secrets).map((secret) => `run/secrets/${secret}`)]) writeFileSync(join(base, file), '');
    const setpriv = execFileSync('sh', ['-c', 'command -v setpriv'], { encoding: 'utf8' }).trim();
    for (const [program, place] of [[process.execPath, 'nodejs/bin/node'], [setpriv, '.setpriv']] as const) {
      if (existsSync(join(base, place))) continue;
      copyFileSync(program, join(base, place));
      chmodSync(join(base, place), 0o755);
      for (const [library] of execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/\/\S+\.so[.\d]*/g)) {
        if (existsSync(join(base, library))) continue;
        mkdirSync(join(base, dirname(library)), { recursive: true });
        copyFileSync(library, join(base, library));
        chmodSync(join(base, library), 0o755);
      }
    }
    return base;
  }

  #makeNamespace(name: string, networks: readonly string[]): string {
    const namespace = `aot${this.#id}-${name}`;
    if (existsSync(`/var/run/netns/${namespace}`)) return namespace;
    sh(`ip netns add ${namespace} && ip -n ${namespace} link set lo up`);
    for (const [index, network] of networks.entries()) {
      const { bridge } = this.#networks.get(network)!;
      const [outer, inner] = [`aot${this.#id}${randomInt(0x1000, 0xffff).toString(16)}`, `eth${index}`];
      sh(`ip link add ${outer} type veth peer name ${inner} netns ${namespace} && ip link set ${outer} master ${bridge} up`);
      sh(`ip -n ${namespace} addr add ${this.#addresses.get(`${network}/${name}`)}/24 dev ${inner} && ip -n ${namespace} link set ${inner} up`);
    }
    return namespace;
  }

  #mountsOf(name: string, service: ComposeService, hosts: string): string {
    // Before the root is sealed there is nothing to write yet; what comes later lies over it.
    const lines = service.read_only ? [['readonly', '', '']] : [];
    for (const entry of service.tmpfs) {
      const [target, options] = entry.split(/:(.*)/s) as [string, string];
      lines.push(['tmpfs', target, options]);
    }
    const volumes = [...(service.volumes ?? [])].map((entry) => entry.split(':') as [string, string, string?]).sort((a, b) => a[1].length - b[1].length);
    for (const [source, target] of volumes) {
      if (!(source in this.#file.volumes)) throw new Error(`${name}: ${source} is no named volume`);
      if (!existsSync(this.volume(source))) {
        // A new volume begins as a copy of what the image has there, owner and mode included.
        cpSync(join(this.#base, target), this.volume(source), { recursive: true });
        own(this.volume(source), this.#image.user);
      }
      lines.push(['volume', target, this.volume(source)]);
    }
    for (const secret of service.secrets) lines.push(['file', `/run/secrets/${secret}`, join(this.#secrets, this.#file.secrets[secret]!.file.replace('./secrets/', ''))]);
    lines.push(['file', '/etc/hosts', hosts]);
    return lines.map((line) => line.join('\t')).join('\n');
  }
}

interface Launch {
  readonly namespace: string;
  readonly root: string;
  readonly mounts: string;
  readonly command: readonly string[];
}

class RunningContainer implements Container {
  readonly name: string;
  readonly address: (network: string) => string;
  readonly #service: ComposeService;
  readonly #image: BuiltImage;
  #child: ChildProcess | null = null;
  #text = '';

  constructor(name: string, service: ComposeService, address: (network: string) => string, image: BuiltImage) {
    this.name = name;
    this.address = address;
    this.#service = service;
    this.#image = image;
  }

  get #environment(): Record<string, string> {
    return { PATH: '/usr/local/bin:/usr/bin:/bin', ...this.#image.environment, ...this.#service.environment };
  }

  /** As `docker run` turns a file's words into what the kernel is asked for. */
  get #privileges(): readonly string[] {
    const [uid, gid] = this.#service.user.split(':');
    const dropsAll = this.#service.cap_drop.includes('ALL');
    return [
      `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--inh-caps=-all', '--ambient-caps=-all', ...(dropsAll ? ['--bounding-set=-all'] : []),
      ...(this.#service.security_opt.includes('no-new-privileges:true') ? ['--no-new-privs'] : []), '--',
    ];
  }

  async launch({ namespace, root, mounts, command }: Launch): Promise<void> {
    const entrypoint = this.#service.entrypoint ?? this.#image.entrypoint;
    // The setup has the container's variables already; its own two it takes out before it becomes the program.
    const child = spawn('nsenter', [
      `--net=/var/run/netns/${namespace}`, 'unshare', '--mount', '--pid', '--ipc', '--uts', '--fork', '--propagation', 'private',
      'env', '-i', `MOUNTS=${mounts}`, `PATH=${process.env['PATH']}`, ...Object.entries(this.#environment).filter(([key]) => key !== 'PATH').map(([key, value]) => `${key}=${value}`),
      'sh', SETUP, root, this.#image.workingDirectory, ...this.#privileges, ...entrypoint, ...command,
    ], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    const keep = (chunk: Buffer): void => void (this.#text += chunk.toString('utf8'));
    child.stdout!.on('data', keep);
    child.stderr!.on('data', keep);
    // Until the setup has forked the container's first process.
    while (this.running && readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim() === '') await new Promise((resolve) => setTimeout(resolve, 5));
  }

  output(): string {
    return this.#text;
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** `unshare --fork` waits; its only child is the first process of the container. */
  get pid(): number {
    const parent = this.#child!.pid!;
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim();
    if (!/^\d+$/.test(children)) throw new Error(`${this.name} has no process: ${children}\n${this.#text.slice(-2_000)}`);
    return Number(children);
  }

  async exec(command: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }> {
    const child = spawn('nsenter', ['--target', String(this.pid), '--mount', '--net', '--pid', '--ipc', '--uts', '--root', '--wd', '/.setpriv', ...this.#privileges, ...command], { env: this.#environment, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => void (output += chunk.toString('utf8')));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, output };
  }

  async ended(): Promise<number | null> {
    if (this.running) await once(this.#child!, 'exit');
    return this.#child!.exitCode;
  }

  async stop(): Promise<{ readonly code: number | null; readonly ms: number }> {
    const begun = performance.now();
    const gone = this.ended();
    process.kill(this.pid, 'SIGTERM');
    const timer = setTimeout(() => void this.kill(), 40_000);
    const code = await gone;
    clearTimeout(timer);
    return { code, ms: performance.now() - begun };
  }

  async kill(): Promise<void> {
    if (!this.running) return;
    // The first process takes all others of its namespace with it, and ends the one that waits for it here.
    process.kill(this.pid, 'SIGKILL');
    await this.ended();
  }
}

function own(place: string, user: string): void {
  execFileSync('chown', ['-R', user, place]);
}

function sh(command: string): void {
  execFileSync('sh', ['-ec', command], { stdio: ['ignore', 'ignore', 'pipe'] });
}
