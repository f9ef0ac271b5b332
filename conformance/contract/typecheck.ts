/** Type-checks files that exist only in memory, as if they stood in the repository. */
import { join } from 'node:path';
import ts from 'typescript';
import { repositoryRoot } from '../../scripts/contract/paths.ts';

/** Repository-relative path → the messages of its own errors. Files beside them are read from disk. */
export function typecheck(virtual: Readonly<Record<string, string>>): Record<string, string[]> {
  const configuration = ts.getParsedCommandLineOfConfigFile(join(repositoryRoot, 'tsconfig.json'), {}, { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (diagnostic) => { throw new Error(String(diagnostic.messageText)); } });
  if (configuration === undefined) throw new Error('tsconfig.json cannot be read.');
  const texts = new Map(Object.entries(virtual).map(([path, text]) => [join(repositoryRoot, path), text]));
  const host = ts.createCompilerHost(configuration.options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (file) => texts.has(file) || fileExists(file);
  host.readFile = (file) => texts.get(file) ?? readFile(file);
  host.getSourceFile = (file, target, ...rest) => {
    const text = texts.get(file);
    return text === undefined ? getSourceFile(file, target, ...rest) : ts.createSourceFile(file, text, target);
  };
  const program = ts.createProgram([...texts.keys()], configuration.options, host);
  return Object.fromEntries(
    Object.keys(virtual).map((path) => {
      const source = program.getSourceFile(join(repositoryRoot, path));
      const messages = program.getSemanticDiagnostics(source).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
      return [path, messages];
    }),
  );
}

/** The text of a module with one member taken out of the object that it checks with `satisfies …Handlers`. */
export function withoutHandler(text: string): { readonly text: string; readonly removed: string } {
  const source = ts.createSourceFile('index.ts', text, ts.ScriptTarget.Latest, true);
  let found: { readonly text: string; readonly removed: string } | undefined;
  const visit = (node: ts.Node): void => {
    if (ts.isSatisfiesExpression(node) && /Handlers$/.test(node.type.getText()) && ts.isObjectLiteralExpression(node.expression)) {
      const member = node.expression.properties.find((property) => property.name !== undefined);
      if (member !== undefined) {
        const end = text[member.end] === ',' ? member.end + 1 : member.end;
        found = { text: text.slice(0, member.pos) + text.slice(end), removed: member.name!.getText() };
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  if (found === undefined) throw new Error('No object literal is followed by `satisfies …Handlers`: nothing holds this service to its contract.');
  return found;
}
