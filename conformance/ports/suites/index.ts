/** The suite of each port. */
import type { PortHarnesses, PortName } from '../contract.ts';
import { agentsSuite } from './agents.ts';
import { assertionUsesSuite } from './assertion-uses.ts';
import { auditSuite } from './audit.ts';
import { canaryStateSuite } from './canary-state.ts';
import { decisionsSuite } from './decisions.ts';
import { directorySuite } from './directory.ts';
import { eventsSuite } from './events.ts';
import { forwardIndexSuite } from './forward-index.ts';
import { memorySuite } from './memory.ts';
import { modelSuite } from './model.ts';
import { peerSuite } from './peer.ts';
import { policyRulesSuite } from './policy-rules.ts';
import { providerSuite } from './provider.ts';
import { queueSuite } from './queue.ts';
import { replicaSuite } from './replica.ts';
import { runStateSuite } from './run-state.ts';
import { secretsSuite } from './secrets.ts';
import { toolRegistrySuite } from './tool-registry.ts';
import { toolSuite } from './tool.ts';
import { usageSuite } from './usage.ts';
import { webhooksSuite } from './webhooks.ts';

export const suites: { readonly [Name in PortName]: (create: () => Promise<PortHarnesses[Name]>) => void } = {
  'run-state': runStateSuite,
  queue: queueSuite,
  events: eventsSuite,
  agents: agentsSuite,
  model: modelSuite,
  tool: toolSuite,
  'tool-registry': toolRegistrySuite,
  memory: memorySuite,
  provider: providerSuite,
  'policy-rules': policyRulesSuite,
  usage: usageSuite,
  decisions: decisionsSuite,
  'canary-state': canaryStateSuite,
  directory: directorySuite,
  audit: auditSuite,
  webhooks: webhooksSuite,
  secrets: secretsSuite,
  replica: replicaSuite,
  'forward-index': forwardIndexSuite,
  peer: peerSuite,
  'assertion-uses': assertionUsesSuite,
};
