/** tool.echo: gives back what it is given; the smallest proof that a run can call a tool (Appendix H). */
import type { BuiltinTool } from './builtin-tool.ts';

export const echoTool: BuiltinTool = {
  toolId: 'tool.echo',
  name: 'echo',
  description: 'Returns the given text unchanged.',
  inputSchema: {
    type: 'object',
    properties: { text: { type: 'string', maxLength: 100_000, description: 'The text to return.' } },
    required: ['text'],
    additionalProperties: false,
  },
  outputSchema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] },
  sideEffects: false,
  run: async (_auth, input) => ({ text: (input as { text: string }).text }),
};
