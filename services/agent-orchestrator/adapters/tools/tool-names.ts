/** Names of tools as models see them: letters, digits and underscores, at most 64, and no two alike. */
import { createHash } from 'node:crypto';
import type { ToolDescriptor } from '../../ports/tool.ts';

const MAX_CHARACTERS = 64;
const HASH_CHARACTERS = 8;

/** `tool.crm.lookup` → `crm_lookup`, `tool.mcp.files.read_file` → `mcp__files__read_file`. */
export function modelNameOf(toolId: string): string {
  const [, server, tool] = /^tool\.mcp\.([^.]+)\.(.+)$/.exec(toolId) ?? [];
  const name = (server === undefined ? toolId.replace(/^tool\./, '') : `mcp__${server}__${tool}`).replaceAll(/[^A-Za-z0-9_]/g, '_');
  return name.length <= MAX_CHARACTERS ? name : hashedName(name, toolId);
}

/** The first of several with one name keeps it; the others get a hash of their ids. */
export function distinctNames(descriptors: readonly ToolDescriptor[]): readonly ToolDescriptor[] {
  const taken = new Set<string>();
  return descriptors.map((descriptor) => {
    const name = taken.has(descriptor.name) ? hashedName(descriptor.name, descriptor.toolId) : descriptor.name;
    taken.add(name);
    return name === descriptor.name ? descriptor : { ...descriptor, name };
  });
}

const hashedName = (name: string, toolId: string): string =>
  `${name.slice(0, MAX_CHARACTERS - HASH_CHARACTERS - 1)}_${createHash('sha256').update(toolId).digest('hex').slice(0, HASH_CHARACTERS)}`;
