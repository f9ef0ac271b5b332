/** The manifests of an overlay as kubectl renders them, from a copy of deploy/ in which the secrets have been made. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { ROOT } from '../architecture/sources.ts';

export interface Named { readonly name: string }
export interface Port extends Named { readonly containerPort: number }
export interface Probe { readonly httpGet?: { readonly path: string; readonly port: string; readonly scheme?: string }; readonly periodSeconds?: number; readonly failureThreshold?: number }

export interface ContainerSpec extends Named {
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly (Named & { readonly value?: string })[];
  readonly envFrom?: readonly { readonly configMapRef: Named }[];
  readonly ports: readonly Port[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly resources: { readonly requests: Readonly<Record<string, string>>; readonly limits: Readonly<Record<string, string>> };
  readonly volumeMounts: readonly (Named & { readonly mountPath: string; readonly readOnly?: boolean })[];
}

export interface PodSpec {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly topologySpreadConstraints?: readonly unknown[];
  readonly containers: readonly ContainerSpec[];
  readonly initContainers?: readonly ContainerSpec[];
  readonly volumes: readonly (Named & Readonly<Record<string, unknown>>)[];
}

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Named & { readonly namespace?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly data?: Readonly<Record<string, string>>;
  readonly automountServiceAccountToken?: boolean;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly spec: any;
}

/** Why overlays cannot be rendered here; null when they can. Debian's kubectl is of an age that reads none of this. */
export function obstacle(): string | null {
  const { status, stdout } = spawnSync('kubectl', ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
  if (status !== 0) return 'kubectl is not installed';
  const { major, minor } = (JSON.parse(stdout) as { clientVersion: { major: string; minor: string } }).clientVersion;
  return Number(major) > 1 || Number.parseInt(minor, 10) >= 25 ? null : `kubectl ${major}.${minor} is too old: 1.25 or newer`;
}

/** @param components of deploy/k8s/components, as an overlay of one's own would add them */
export function render(overlay: string, components: readonly string[] = []): readonly Manifest[] {
  const folder = mkdtempSync(join(tmpdir(), 'agentos-manifests-'));
  try {
    cpSync(join(ROOT, 'deploy'), folder, { recursive: true, filter: (file) => !file.includes('/secrets') });
    execFileSync(join(folder, 'init.sh'), ['--dir', 'k8s/overlays/dev/secrets', '--database', 'agentos-postgres:5432'], { stdio: 'pipe' });
    const own = join(folder, 'k8s/overlays/own');
    mkdirSync(own);
    writeFileSync(join(own, 'kustomization.yaml'), JSON.stringify({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: 'agentos', resources: [`../${overlay}`], components: components.map((name) => `../../components/${name}`) }));
    const text = execFileSync('kubectl', ['kustomize', components.length === 0 ? join(folder, 'k8s/overlays', overlay) : own], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
    return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
