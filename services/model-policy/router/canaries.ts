/**
 * Canaries: a model tried out on a share of the calls to another one (PRS 6.3).
 *
 * Who gets it is a function of the canary's name and the key alone, so a key gets the same on every replica and at
 * every time, and a share that grows keeps those it had. A roll-back holds in this process at once and in the others
 * when they look next; it stands until the rule in the file becomes another one. Calls are counted in this process.
 */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { CanaryStatePort, CanaryRollBack } from '../ports/canary-state.ts';
import { CanaryArms, type Arm, type ArmReading } from './canary-arms.ts';
import type { CanaryRule } from './routing-rules.ts';

export interface CanaryKeys {
  readonly tenantId: string;
  readonly agentId: string | null;
  readonly principalId: string;
}

export interface CanaryChoice {
  readonly rule: CanaryRule;
  readonly arm: Arm;
}

export interface CanaryReading {
  readonly rule: CanaryRule;
  readonly state: 'active' | 'paused' | 'rolled_back';
  readonly reason: string | null;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly canary: ArmReading;
  readonly baseline: ArmReading;
}

interface Standing {
  readonly rule: CanaryRule;
  sinceMs: number;
  rollBack: CanaryRollBack | null;
  /** Not in the store yet. */
  isUnsaved: boolean;
  arms: CanaryArms;
}

const LOOK_MS = 1_000;

export class Canaries {
  readonly #store: CanaryStatePort;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #byModel = new Map<string, Standing>();
  #rules: readonly CanaryRule[] = [];
  #looking: Promise<void> | null = null;
  #isStoreAway = false;

  constructor(store: CanaryStatePort, log: Logger) {
    this.#store = store;
    this.#log = log;
    this.#timer = setInterval(() => {
      if (this.#byModel.size > 0) void this.look();
    }, LOOK_MS).unref();
  }

  /** Takes over the rules of a catalogue; those that did not change go on as they were. */
  async use(rules: readonly CanaryRule[]): Promise<void> {
    if (rules === this.#rules) return;
    const before = new Map([...this.#byModel.values()].map((standing) => [`${standing.rule.name} ${standing.rule.version}`, standing]));
    this.#rules = rules;
    this.#byModel = new Map(rules.map((rule) => {
      const known = before.get(`${rule.name} ${rule.version}`);
      return [rule.model, known === undefined ? { rule, sinceMs: Date.now(), rollBack: null, isUnsaved: false, arms: new CanaryArms() } : { ...known, rule }];
    }));
    if (rules.length > 0) await this.look();
  }

  /** The canary that stands beside the model and what this key gets; null where there is none for it. */
  choose(modelId: string, keys: CanaryKeys): CanaryChoice | null {
    const standing = this.#byModel.get(modelId);
    if (standing === undefined || standing.rollBack !== null || standing.rule.isPaused) return null;
    const { rule } = standing;
    if (rule.tenants !== null && !rule.tenants.has(keys.tenantId)) return null;
    const own = rule.key === 'tenant' ? '' : rule.key === 'agent' ? keys.agentId : keys.principalId;
    if (own === null) return null;
    return { rule, arm: shareOf(rule.name, keys.tenantId, own) < rule.percent ? 'canary' : 'baseline' };
  }

  /** One call of an arm has ended. */
  record({ rule }: CanaryChoice, arm: Arm, failed: boolean, latencyMs: number): void {
    const standing = this.#byModel.get(rule.model);
    if (standing === undefined || standing.rule.version !== rule.version || standing.rollBack !== null) return;
    standing.arms.add(arm, failed, latencyMs);
    if (arm === 'baseline') return;
    const reason = standing.arms.verdict(rule);
    if (reason !== null) this.#rollBack(standing, reason);
  }

  /** By hand. Null when no canary has this name. @throws AgentOsError dependency_unavailable; it holds in this process all the same. */
  async rollBack(name: string, reason: string): Promise<CanaryReading | null> {
    const standing = [...this.#byModel.values()].find(({ rule }) => rule.name === name);
    if (standing === undefined) return null;
    if (standing.rollBack === null) this.#rollBack(standing, reason, false);
    await this.#save(standing);
    return read(standing);
  }

  read(): readonly CanaryReading[] {
    return this.#rules.map((rule) => read(this.#byModel.get(rule.model)!));
  }

  /** Learns of the other processes' roll-backs and tells them of its own. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    try {
      const found = new Map((await this.#store.rolledBack()).map((each) => [`${each.name} ${each.version}`, each]));
      for (const standing of this.#byModel.values()) {
        const { rule } = standing;
        const known = found.get(`${rule.name} ${rule.version}`);
        if (known !== undefined) hold(standing, known);
        else if (standing.isUnsaved) await this.#save(standing);
      }
      this.#isStoreAway = false;
    } catch (error) {
      if (!this.#isStoreAway) this.#log.warn({ err: error }, 'Roll-backs of canaries cannot be read or told to the other processes; it is tried again.');
      this.#isStoreAway = true;
    }
  }

  #rollBack(standing: Standing, reason: string, saves = true): void {
    const { name, version, canary, model } = standing.rule;
    hold(standing, { name, version, reason, atMs: Date.now() });
    standing.isUnsaved = true;
    this.#log.warn({ canary: name, tried: canary, model, reason }, `Canary ${name} is rolled back: ${reason}.`);
    if (saves) void this.look();
  }

  async #save(standing: Standing): Promise<void> {
    if (!standing.isUnsaved) return;
    hold(standing, await this.#store.rollBack(standing.rollBack!));
    standing.isUnsaved = false;
  }
}

function hold(standing: Standing, rollBack: CanaryRollBack): void {
  standing.rollBack = rollBack;
  standing.sinceMs = rollBack.atMs;
}

function read({ rule, sinceMs, rollBack, arms }: Standing): CanaryReading {
  const state = rollBack !== null ? 'rolled_back' : rule.isPaused ? 'paused' : 'active';
  return { rule, state, reason: rollBack?.reason ?? null, sinceMs, canary: arms.read('canary'), baseline: arms.read('baseline') };
}

/** Where the key stands between 0 and 100. */
export function shareOf(name: string, tenantId: string, own: string): number {
  const digest = createHash('sha256').update(`${name}\n${tenantId}\n${own}`).digest();
  return (digest.readUInt32BE(0) / 2 ** 32) * 100;
}
