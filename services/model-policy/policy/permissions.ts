/** What rules say about models, backends and tools, beside the text: each answers null or the reason why not. */
import type { PolicyRuleAttributes, PolicyRuleModels, PolicyRuleTools } from '../../../generated/types/index.ts';
import type { PolicyContext } from '../../platform/tenancy/auth-context.ts';

/** What is asked about a model of the catalogue. */
export interface JudgedModel {
  readonly modelId: string;
  readonly backend: string;
  readonly tiers: readonly string[];
  readonly aliases: readonly string[];
  readonly attributes?: { readonly region: string | null; readonly dataClassification: readonly string[] };
}

export interface Refusal {
  readonly reason: string;
  readonly ruleId: string | null;
}

/** The first rule that names the model decides; one with an `allow` names every model. */
export function refusedModel(rules: readonly PolicyRuleModels[], model: JudgedModel): Refusal | null {
  const isListed = (list: readonly string[]): boolean => list.some((name) => name === model.modelId || name === `${model.backend}/${model.modelId}`
    || model.aliases.includes(name) || (name.startsWith('tier:') && model.tiers.includes(name.slice('tier:'.length))));
  for (const { id, allow, deny } of rules) {
    if (deny !== undefined && isListed(deny)) return { reason: 'model_denied', ruleId: id };
    if (allow !== undefined) return isListed(allow) ? null : { reason: 'model_not_allowed', ruleId: id };
  }
  return null;
}

/**
 * A backend must meet every rule that speaks of the call. One about which nothing is known meets none: data that must
 * stay somewhere does not go to a place nobody has named.
 */
export function refusedBackend(rules: readonly PolicyRuleAttributes[], model: JudgedModel, context: PolicyContext): Refusal | null {
  const { region = null, dataClassification = [] } = model.attributes ?? {};
  for (const { id, when, require } of rules) {
    if (when !== undefined && !speaksOf(when, context)) continue;
    if (require.region !== undefined && (region === null || !resolved(require.region, context.region).includes(region))) return { reason: 'region_not_allowed', ruleId: id };
    if (require.data_classification !== undefined) {
      const wanted = resolved(require.data_classification, context.data_classification);
      if (!dataClassification.some((cleared) => wanted.includes(cleared))) return { reason: 'classification_not_cleared', ruleId: id };
    }
  }
  return null;
}

function speaksOf(when: NonNullable<PolicyRuleAttributes['when']>, context: PolicyContext): boolean {
  return (['region', 'data_classification', 'purpose'] as const).every((member) => {
    const wanted = when[member];
    return wanted === undefined || (context[member] !== undefined && wanted.includes(context[member]));
  });
}

/** `context` stands for what the call says. */
function resolved(list: readonly string[], said: string | undefined): readonly string[] {
  return list.flatMap((each) => (each !== 'context' ? [each] : said === undefined ? [] : [said]));
}

export interface JudgedTool {
  readonly tool_id: string;
  readonly name: string;
}

/** @param entitled of the tenant; null: no list, so every tool is. */
export function refusedTool(rules: readonly PolicyRuleTools[], entitled: readonly string[] | null, tool: JudgedTool): Refusal | null {
  if (entitled !== null && !entitled.includes(tool.tool_id)) return { reason: 'tool_not_entitled', ruleId: null };
  const isListed = (list: readonly string[]): boolean => list.some((pattern) => [tool.tool_id, tool.name].some((name) =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
  for (const { id, allow, deny } of rules) {
    if (deny !== undefined && isListed(deny)) return { reason: 'tool_denied', ruleId: id };
    // What is called is the id; a name proves nothing where the id says otherwise.
    if (allow !== undefined) return allow.some((pattern) => pattern.endsWith('*') ? tool.tool_id.startsWith(pattern.slice(0, -1)) : tool.tool_id === pattern || (tool.name === pattern && !pattern.startsWith('tool.'))) ? null : { reason: 'tool_not_allowed', ruleId: id };
  }
  return null;
}
