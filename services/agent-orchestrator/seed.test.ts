import { describe, expect, it } from 'vitest';
import { MemoryDirectory } from '../platform/tenancy/directory-memory.ts';
import { MemoryAgents } from './adapters/agents-memory.ts';
import { SEED_AGENTS, SEED_AUTH, seedNode } from './seed.ts';

describe('seeding', () => {
  it('changes nothing the second time', async () => {
    const [directory, agents] = [new MemoryDirectory(), new MemoryAgents()];
    const first = await seedNode(directory, agents);
    const before = (await agents.list(SEED_AUTH, { limit: 50 })).agents;
    expect(await seedNode(directory, agents)).toEqual(first);
    expect((await agents.list(SEED_AUTH, { limit: 50 })).agents).toEqual(before);
    expect(before.map((agent) => agent.version)).toEqual(SEED_AGENTS.map(() => '1'));
  });

  it('leaves an agent that somebody has changed, and brings back one that is gone', async () => {
    const [directory, agents] = [new MemoryDirectory(), new MemoryAgents()];
    await seedNode(directory, agents);
    await agents.put(SEED_AUTH, { ...SEED_AGENTS[0]!, name: 'Mine now', status: 'inactive' });
    await agents.delete(SEED_AUTH, SEED_AGENTS[1]!.agentId);
    await seedNode(directory, agents);
    expect(await agents.get(SEED_AUTH, SEED_AGENTS[0]!.agentId)).toMatchObject({ name: 'Mine now', status: 'inactive', version: '2' });
    expect(await agents.get(SEED_AUTH, SEED_AGENTS[1]!.agentId)).toMatchObject({ version: '1' });
  });
});
