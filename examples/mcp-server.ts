/**
 * A small MCP server with one tool: what time is it in a time zone? It speaks streamable HTTP, or standard input and
 * output when it is started with `--stdio`.
 *
 *     npx tsx examples/mcp-server.ts          # http://127.0.0.1:9001/mcp
 */
import { createServer } from 'node:http';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { CallToolRequestSchema, ListToolsRequestSchema, type CallToolResult } from '@modelcontextprotocol/sdk/types.js';

const PORT = Number(process.env['PORT'] ?? 9001);

const TIME_IN = {
  name: 'time_in',
  description: 'Tells what time it is in a time zone, such as Europe/Zurich.',
  inputSchema: { type: 'object' as const, properties: { timezone: { type: 'string', description: 'A name of the IANA time zone database.' } }, required: ['timezone'] },
  outputSchema: { type: 'object' as const, properties: { timezone: { type: 'string' }, time: { type: 'string' } }, required: ['timezone', 'time'] },
  annotations: { readOnlyHint: true },
};

function timeIn(timezone: string): CallToolResult {
  try {
    const time = new Intl.DateTimeFormat('en-GB', { timeZone: timezone, hour: '2-digit', minute: '2-digit' }).format(new Date());
    return { content: [{ type: 'text', text: `It is ${time} in ${timezone}.` }], structuredContent: { timezone, time } };
  } catch {
    return { content: [{ type: 'text', text: `There is no time zone ${timezone}.` }], isError: true };
  }
}

function timeServer(): Server {
  const server = new Server({ name: 'time', version: '1.0.0' }, { capabilities: { tools: {} } });
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [TIME_IN] }));
  server.setRequestHandler(CallToolRequestSchema, ({ params }) => timeIn(String(params.arguments?.['timezone'])));
  return server;
}

if (process.argv.includes('--stdio')) {
  await timeServer().connect(new StdioServerTransport());
} else {
  // Without sessions: each request brings all that is needed.
  const http = createServer(async (request, response) => {
    const transport = new StreamableHTTPServerTransport();
    response.on('close', () => void transport.close());
    await timeServer().connect(transport as Transport);
    await transport.handleRequest(request, response);
  });
  http.listen(PORT, '127.0.0.1', () => console.log(`MCP server on http://127.0.0.1:${PORT}/mcp`));
}
