/** What the overlays promise, read from what kubectl makes of them: every pod, every way between pods. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { SERVICES } from '../../scripts/lib/services/catalog.ts';
import { parseIssuers } from '../../services/platform/auth/issuers-file.ts';
import { findVariable } from '../../services/platform/config/variables.ts';
import { ROOT } from '../architecture/sources.ts';
import { obstacle, render, type ContainerSpec, type Manifest, type PodSpec } from './manifests.ts';

const OBSTACLE = obstacle();
const PROGRAMS = { 'agentos-agent-orchestrator': 50081, 'agentos-worker': 50081, 'agentos-model-policy': 50082, 'agentos-federation': 50083 } as const;
const PINNED = /@sha256:[0-9a-f]{64}$/;
/** A program stops within 25 seconds. */
const STOP_SECONDS = 25;

describe('the manifests', () => {
  it('are YAML without repeated keys, each file named by its kustomization', () => {
    for (const folder of ['k8s/base', 'k8s/components/federation', 'k8s/overlays/dev', 'k8s/overlays/prod', 'seed']) {
      const files = readdirSync(join(ROOT, 'deploy', folder)).filter((file) => file.endsWith('.yaml'));
      for (const file of files) for (const document of parseAllDocuments(readFileSync(join(ROOT, 'deploy', folder, file), 'utf8'), { merge: true, uniqueKeys: true })) expect(document.errors, `${folder}/${file}`).toEqual([]);
      const kustomization = readFileSync(join(ROOT, 'deploy', folder, 'kustomization.yaml'), 'utf8');
      for (const file of files.filter((name) => name !== 'kustomization.yaml')) expect(kustomization, `${folder}/${file}`).toContain(file);
    }
  });

  it('of prod name an image that does not exist and issuers that can be read, so that nothing starts by accident', () => {
    const { images } = parse(readFileSync(join(ROOT, 'deploy/k8s/overlays/prod/kustomization.yaml'), 'utf8')) as { images: readonly { digest: string }[] };
    expect(images.map(({ digest }) => digest)).toEqual([`sha256:${'0'.repeat(64)}`]);
    expect(parseIssuers(readFileSync(join(ROOT, 'deploy/k8s/overlays/prod/issuers.yaml'), 'utf8')).map((each) => each.issuer).length).toBe(2);
  });
});

const VARIANTS = [['dev', []], ['prod', []], ['dev', ['federation']], ['prod', ['federation']]] as const;

describe.skipIf(OBSTACLE !== null).each(VARIANTS)(`kubernetes, %s %j${OBSTACLE === null ? '' : ` (skipped: ${OBSTACLE})`}`, (overlay, components) => {
  const manifests = OBSTACLE === null ? render(overlay, components) : [];
  const meets = (components as readonly string[]).includes('federation');
  const of = (kind: string): readonly Manifest[] => manifests.filter((each) => each.kind === kind);
  const workloads = [...of('Deployment'), ...of('StatefulSet')];
  const pods = workloads.map((each) => ({ name: each.metadata.name, pod: each.spec.template.spec as PodSpec, labels: each.spec.template.metadata.labels as Readonly<Record<string, string>> }));
  const programs = pods.filter(({ name }) => name in PROGRAMS);
  const settings = of('ConfigMap').find((each) => each.metadata.name.startsWith('agentos-settings'))?.data ?? {};
  const first = (pod: PodSpec): ContainerSpec => pod.containers[0]!;

  it('has the programs of a node, and nothing that is not looked at here', () => {
    expect(pods.map(({ name }) => name).sort()).toEqual([...Object.keys(PROGRAMS), ...(overlay === 'dev' ? ['agentos-postgres'] : [])].sort());
    expect([...new Set(manifests.map((each) => each.kind))].sort()).toEqual(['ConfigMap', 'Deployment', 'HorizontalPodAutoscaler', 'Namespace', 'NetworkPolicy', 'PodDisruptionBudget', ...(overlay === 'dev' ? ['Secret'] : []), 'Service', 'ServiceAccount', 'StatefulSet'].sort());
    for (const each of manifests) if (each.kind !== 'Namespace') expect(each.metadata.namespace, each.metadata.name).toBe('agentos');
  });

  it('confines every container', () => {
    expect(of('Namespace')[0]!.metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    for (const { name, pod } of pods) {
      expect(pod.securityContext, name).toMatchObject({ runAsNonRoot: true, runAsUser: name === 'agentos-postgres' ? 999 : 10001, seccompProfile: { type: 'RuntimeDefault' } });
      expect([pod.automountServiceAccountToken, pod.serviceAccountName], name).toEqual([false, 'agentos']);
      for (const loosened of ['hostNetwork', 'hostPID', 'hostIPC', 'initContainers']) expect(pod, name).not.toHaveProperty(loosened);
      expect(pod.containers, name).toHaveLength(1);
      for (const container of pod.containers) expect(container.securityContext, name).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } });
    }
    expect(of('ServiceAccount').map((each) => each.automountServiceAccountToken)).toEqual([false]);
  });

  it('names images by digest, and in dev the one that was built', () => {
    for (const { name, pod } of pods) expect(first(pod).image, name).toMatch(overlay === 'dev' && name !== 'agentos-postgres' ? /^agentos:local$/ : PINNED);
  });

  it('asks for what it needs and is given no more', () => {
    for (const { name, pod } of pods) for (const side of ['requests', 'limits'] as const) expect(first(pod).resources[side], name).toEqual({ cpu: expect.anything(), memory: expect.stringMatching(/i$/) });
  });

  it('is watched, rolled and stopped without losing anything', () => {
    for (const { name, pod } of programs) {
      const { startupProbe, livenessProbe, readinessProbe } = first(pod);
      const scheme = overlay === 'prod' ? { scheme: 'HTTPS' } : {};
      expect([startupProbe.httpGet, livenessProbe.httpGet, readinessProbe.httpGet], name).toEqual([{ path: '/healthz', port: 'http', ...scheme }, { path: '/healthz', port: 'http', ...scheme }, { path: '/readyz', port: 'http', ...scheme }]);
      // A program waits half a minute for its database.
      expect(startupProbe.periodSeconds! * startupProbe.failureThreshold!, name).toBeGreaterThan(45);
      expect(pod.terminationGracePeriodSeconds, name).toBeGreaterThan(STOP_SECONDS);
      expect(pod.topologySpreadConstraints, name).toHaveLength(2);
    }
    expect(Number(settings['AGENTOS_STOP_GRACE_MS'])).toBeLessThan(STOP_SECONDS * 1_000);
    expect(of('PodDisruptionBudget').map((each) => each.spec.selector.matchLabels['app.kubernetes.io/name'] as string).sort()).toEqual(Object.keys(PROGRAMS).sort());
    for (const each of of('Deployment')) expect(each.spec.strategy, each.metadata.name).toEqual({ rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } });
  });

  it('runs one program a pod, workers as a role, as many as the autoscaler says', () => {
    expect(Object.fromEntries(programs.map(({ name, pod }) => [name, first(pod).args]))).toEqual({
      'agentos-agent-orchestrator': ['agent-orchestrator', '--role', 'api'], 'agentos-worker': ['agent-orchestrator', '--role', 'worker'],
      'agentos-model-policy': ['model-policy'], 'agentos-federation': ['federation'],
    });
    const [autoscaler] = of('HorizontalPodAutoscaler');
    expect(autoscaler!.spec.scaleTargetRef).toEqual({ apiVersion: 'apps/v1', kind: 'Deployment', name: 'agentos-worker' });
    expect(workloads.find((each) => each.metadata.name === 'agentos-worker')!.spec).not.toHaveProperty('replicas');
  });

  it('gives settings that exist, and secrets by file', () => {
    const given = programs.flatMap(({ pod }) => (first(pod).env ?? []).map((each) => [each.name, each.value] as const));
    for (const [name, value] of [...Object.entries(settings), ...given]) {
      if (name === 'NODE_EXTRA_CA_CERTS') continue;
      const variable = findVariable(name) ?? findVariable(name.replace(/_FILE$/, ''));
      expect(variable, name).toBeDefined();
      if (variable!.secret === true) expect([name.endsWith('_FILE'), value!.startsWith('/run/secrets/')], name).toEqual([true, true]);
      if (variable!.type === 'enum') expect(variable!.allowed, name).toContain(value);
      if (/^AGENTOS_\w+_URL$/.test(name) && overlay === 'prod') expect(value, name).toMatch(/^https:/);
    }
    expect(settings['AGENTOS_MODE']).toBe(overlay);
    for (const { name, pod } of programs) {
      const mounted = first(pod).volumeMounts.filter(({ mountPath }) => mountPath.startsWith('/run/secrets'));
      for (const mount of mounted) {
        expect(mount.readOnly, name).toBe(true);
        expect(pod.volumes.find((volume) => volume.name === mount.name), name).toMatchObject({ secret: { defaultMode: 0o440 } });
      }
      for (const path of Object.values(settings).filter((value) => value.startsWith('/run/secrets/'))) expect(mounted.some(({ mountPath }) => path.startsWith(`${mountPath}/`)), `${name}: ${path}`).toBe(true);
      // What can be written to is what is mounted for it, and nothing of the host's.
      const writable = first(pod).volumeMounts.filter(({ readOnly }) => readOnly !== true);
      expect(writable.map(({ mountPath }) => mountPath).sort(), name).toEqual(['/tmp', '/var/lib/agentos']);
      for (const volume of pod.volumes) expect(Object.keys(volume).filter((key) => key !== 'name'), name).toEqual([expect.stringMatching(/^(secret|configMap|emptyDir)$/)]);
    }
    const claims = workloads.find((each) => each.metadata.name === 'agentos-model-policy')!.spec.volumeClaimTemplates as readonly { metadata: { name: string } }[];
    expect(claims.map((claim) => claim.metadata.name), 'a journal outlives its pod').toEqual(['state']);
  });

  it('serves the ports of the architecture to the cluster, and the administration to nobody', () => {
    for (const { name, pod } of programs) {
      const peers = meets && name === 'agentos-federation' ? [{ name: 'peers', containerPort: 50084 }] : [];
      expect(first(pod).ports, name).toEqual([{ name: 'http', containerPort: PROGRAMS[name as keyof typeof PROGRAMS] }, ...peers]);
      expect(first(pod).env, name).toContainEqual({ name: 'AGENTOS_PORT', value: String(PROGRAMS[name as keyof typeof PROGRAMS]) });
    }
    for (const service of SERVICES) {
      const served = of('Service').find((each) => each.metadata.name === `agentos-${service.name}`)!;
      expect(served.spec.ports).toEqual([{ name: 'http', port: findVariable(service.portVariable)!.default, targetPort: 'http' }]);
      expect(served.spec.type ?? 'ClusterIP').toBe('ClusterIP');
      expect(new URL(settings[service.urlVariable]!).host).toBe(`agentos-${service.name}:${findVariable(service.portVariable)!.default}`);
    }
    expect(settings).not.toHaveProperty('AGENTOS_ADMIN_HOST');
  });

  it(meets ? 'hears other nodes over mutual TLS alone, at a port and an address for them' : 'hears no other node', () => {
    const { pod } = programs.find(({ name }) => name === 'agentos-federation')!;
    const told = Object.fromEntries((first(pod).env ?? []).map(({ name, value }) => [name, value!]));
    const service = of('Service').find((each) => each.metadata.name === 'agentos-peers');
    const policies = of('NetworkPolicy').filter((each) => JSON.stringify(each.spec).includes('50084'));
    for (const each of programs) expect(each.pod.volumes.some((volume) => volume.name === 'federation'), each.name).toBe(meets && each.name === 'agentos-federation');
    if (!meets) return expect([service, policies, Object.keys(told).filter((name) => name.startsWith('AGENTOS_FED_'))]).toEqual([undefined, [], []]);
    expect(service!.spec).toEqual({ type: 'LoadBalancer', selector: { 'app.kubernetes.io/name': 'agentos-federation' }, ports: [{ name: 'peers', port: findVariable('AGENTOS_FED_PEER_PORT')!.default, targetPort: 'peers' }] });
    expect(told).toMatchObject({ AGENTOS_FED_REQUIRE_MTLS: 'true', AGENTOS_FED_PEER_HOST: '0.0.0.0', AGENTOS_FED_PEER_PORT: '50084' });
    const folder = first(pod).volumeMounts.find(({ name }) => name === 'federation')!;
    expect(folder).toMatchObject({ readOnly: true, mountPath: '/run/secrets/agentos-federation' });
    for (const [variable, file] of [['AGENTOS_FED_SERVER_CERT_FILE', 'node.crt'], ['AGENTOS_FED_SERVER_KEY_FILE', 'node.key'], ['AGENTOS_FED_CA_CERT_FILE', 'trusted.pem'], ['AGENTOS_PEERS_FILE', 'peers.json']] as const) expect(told[variable]).toBe(`${folder.mountPath}/${file}`);
    // Callers' keys mean nothing there, and nothing else of the node is opened with it.
    const [policy, ...others] = policies;
    expect([others, policy!.spec.podSelector, policy!.spec.ingress[0].ports]).toEqual([[], { matchLabels: { 'app.kubernetes.io/name': 'agentos-federation' } }, [{ protocol: 'TCP', port: 'peers' }]]);
  });

  it('lets nobody speak to anybody, but those who have to', () => {
    const policies = of('NetworkPolicy');
    expect(policies.find((each) => each.metadata.name === 'deny-all')!.spec).toEqual({ podSelector: {}, policyTypes: ['Ingress', 'Egress'] });
    const may = (from: string, to: string): boolean => isAllowed(policies, pods, from, to);
    const expected: Record<string, readonly string[]> = {
      'agentos-agent-orchestrator': ['agentos-model-policy', 'agentos-federation'], 'agentos-worker': ['agentos-model-policy'],
      'agentos-model-policy': [], 'agentos-federation': ['agentos-agent-orchestrator', 'agentos-model-policy'],
    };
    const names = Object.keys(PROGRAMS);
    for (const from of names) {
      expect(names.filter((to) => to !== from && may(from, to)), from).toEqual(expected[from]);
      if (overlay === 'dev') expect([may(from, 'agentos-postgres'), may('agentos-postgres', from)], from).toEqual([true, false]);
    }
    const internet = policies.find((each) => each.metadata.name === 'internet')!.spec.egress[0].to[0].ipBlock as { except: readonly string[] };
    expect(internet.except).toEqual(expect.arrayContaining(['10.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16']));
  });
});

interface Selector { readonly matchLabels?: Readonly<Record<string, string>>; readonly matchExpressions?: readonly { readonly key: string; readonly operator: string; readonly values: readonly string[] }[] }

function matches({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Readonly<Record<string, string>>): boolean {
  if (matchExpressions.some(({ operator }) => operator !== 'In')) throw new Error('Only the operator In is known here.');
  return Object.entries(matchLabels).every(([key, value]) => labels[key] === value) && matchExpressions.every(({ key, values }) => values.includes(labels[key] ?? ''));
}

interface Rule { readonly from?: readonly Peer[]; readonly to?: readonly Peer[]; readonly ports?: readonly { readonly port: number | string }[] }
interface Peer { readonly podSelector?: Selector; readonly namespaceSelector?: unknown; readonly ipBlock?: unknown }

/** Out of the one and into the other, within the namespace and at the other's own port, as the cluster adds policies up. */
function isAllowed(policies: readonly Manifest[], pods: readonly { readonly name: string; readonly pod: PodSpec; readonly labels: Readonly<Record<string, string>> }[], from: string, to: string): boolean {
  const [source, target] = [pods.find((each) => each.name === from)!, pods.find((each) => each.name === to)!];
  const { name: portName, containerPort } = target.pod.containers[0]!.ports[0]!;
  const allows = (direction: 'ingress' | 'egress', side: 'from' | 'to', own: typeof source, other: typeof source): boolean => policies
    .filter((policy) => matches(policy.spec.podSelector as Selector, own.labels))
    .flatMap((policy) => (policy.spec[direction] ?? []) as readonly Rule[])
    .some((rule) => (rule[side] ?? []).some((peer) => peer.podSelector !== undefined && peer.namespaceSelector === undefined && matches(peer.podSelector, other.labels)) && (rule.ports ?? []).some(({ port }) => port === containerPort || port === portName));
  return allows('egress', 'to', source, target) && allows('ingress', 'from', target, source);
}
