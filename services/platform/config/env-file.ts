/**
 * `.agentos.env`: KEY=VALUE lines. `#` starts a comment at the start of a line or after a space; single quotes keep
 * everything, double quotes know \n, \t, \" and \\; a leading `export ` is allowed, so that shells can read the file.
 */
export interface EnvFileLine {
  readonly name: string;
  readonly value: string;
  readonly line: number;
}

export interface EnvFile {
  readonly lines: readonly EnvFileLine[];
  /** 1-based numbers of lines that are neither blank, comment nor KEY=VALUE. */
  readonly unreadable: readonly number[];
}

const ASSIGNMENT = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/;

export function parseEnvFile(text: string): EnvFile {
  const lines: EnvFileLine[] = [];
  const unreadable: number[] = [];
  for (const [index, raw] of text.replace(/^\ufeff/, '').split(/\r?\n/).entries()) {
    if (/^\s*(#.*)?$/.test(raw)) continue;
    const match = ASSIGNMENT.exec(raw);
    const value = match === null ? null : parseValue(match[2]!);
    if (match === null || value === null) unreadable.push(index + 1);
    else lines.push({ name: match[1]!, value, line: index + 1 });
  }
  return { lines, unreadable };
}

/** null when a quote does not close or something other than a comment follows it. */
function parseValue(text: string): string | null {
  if (text.startsWith("'")) return /^'([^']*)'\s*(?:#.*)?$/.exec(text)?.[1] ?? null;
  if (text.startsWith('"')) {
    const quoted = /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/.exec(text)?.[1];
    if (quoted === undefined) return null;
    return quoted.replace(/\\(.)/g, (_, character: string) => ({ n: '\n', t: '\t', r: '\r' })[character] ?? character);
  }
  return text.replace(/\s+#.*$/, '').replace(/^#.*$/, '').trim();
}

/** One line that `parseEnvFile` reads back as exactly this value. */
export function formatEnvLine(name: string, value: string): string {
  if (/^[A-Za-z0-9_./:@,+=-]*$/.test(value)) return `${name}=${value}`;
  return `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t')}"`;
}
