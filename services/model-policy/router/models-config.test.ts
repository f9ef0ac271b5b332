import { describe, expect, it } from 'vitest';
import { ModelsConfigError, parseModelsConfig, routingRulesOf } from './models-config.ts';

const BASE = { backends: { local: { kind: 'builtin' } }, models: [{ id: 'a', backend: 'local' }, { id: 'b', backend: 'local' }] };

function faults(value: unknown): string[] {
  try {
    parseModelsConfig(typeof value === 'string' ? value : JSON.stringify(value));
  } catch (error) {
    expect(error).toBeInstanceOf(ModelsConfigError);
    return (error as ModelsConfigError).faults.map(({ path, message }) => `${path} ${message}`.trim());
  }
  return [];
}

describe('parseModelsConfig', () => {
  it('reads YAML and JSON alike', () => {
    const yaml = 'backends:\n  local: {kind: builtin}\nmodels:\n  - id: a\n    backend: local\n  - {id: b, backend: local}\n';
    expect(parseModelsConfig(yaml)).toEqual(BASE);
    expect(parseModelsConfig(JSON.stringify(BASE))).toEqual(BASE);
  });

  it('refuses a member that it does not know, with the place and the name that was meant', () => {
    expect(faults({ ...BASE, modles: [] })).toEqual([expect.stringMatching(/^\/modles is not a known member; did you mean models\?$/)]);
    expect(faults({ ...BASE, backends: { local: { kind: 'vllm', bas_url: 'http://x' } } })[0]).toBe('/backends/local/bas_url is not a known member; did you mean base_url?');
    expect(faults({ ...BASE, models: [{ id: 'a', backend: 'local', price: { input_usd_per_mtok: 1, output_usd_per_mtok: 1, currency: 'eur' } }] }).join()).toContain('/models/0/price/currency is not a known member');
    expect(faults({ ...BASE, routing: { fallbacks: {} } })[0]).toBe('/routing/fallbacks is not a known member; did you mean fallback?');
    expect(faults({ ...BASE, routing: { canaries: [{ name: 'c', model: 'a', canary: 'b', percent: 1, gates: { max_error_rat: 0.1 } }] } })[0]).toBe('/routing/canaries/0/gates/max_error_rat is not a known member; did you mean max_error_rate?');
  });

  it('refuses names that stand for nothing, and names that stand for two things', () => {
    expect(faults({ ...BASE, models: [{ id: 'a', backend: 'locl' }] })).toEqual(['/models/0/backend is "locl", which is no backend of this file; did you mean local?']);
    expect(faults({ ...BASE, models: [{ id: 'a', backend: 'local' }, { id: 'c', backend: 'local', aliases: ['a'] }] })).toEqual(['/models/1/aliases/0 is "a", which /models/0/id is already']);
    expect(faults({ ...BASE, routing: { fallback: { 'tier:huge': ['a'], a: ['zzzzz'] } } })).toHaveLength(2);
    const canary = { name: 'c', model: 'a', canary: 'b', percent: 10 };
    expect(faults({ ...BASE, routing: { canaries: [canary, { ...canary, canary: 'a' }] } })).toEqual([
      '/routing/canaries/1/name is "c", which /routing/canaries/0/name is already', '/routing/canaries/1/model is "a", which /routing/canaries/0/model is already',
      '/routing/canaries/1/canary is the model that it is to stand beside',
    ]);
  });

  it.each([['{', /line 1/], ['a: 1\na: 2', /line 2.*unique/], ['- 1', /must be object/], ['x: !!js/function "f"', /line 1/]])('refuses %j', (text, message) => {
    expect(faults(text).join()).toMatch(message);
  });

  it('knows a canary again unless its rule has changed', () => {
    const versionOf = (percent: number, state?: string): string => routingRulesOf(parseModelsConfig(JSON.stringify({ ...BASE, routing: { canaries: [{ name: 'c', model: 'a', canary: 'b', percent, state }] } }))).canaries[0]!.version;
    expect(versionOf(5)).toBe(versionOf(5, 'paused'));
    expect(versionOf(5)).not.toBe(versionOf(6));
  });
});
