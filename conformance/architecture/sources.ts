/** The repository's TypeScript, parsed once, for the laws to read. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLDERS = ['services', 'sdk', 'scripts', 'deploy', 'conformance', 'examples'];
const SKIPPED = new Set(['node_modules', 'dist', '.agentos']);

export interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: number;
  readonly isTest: boolean;
  readonly tree: ts.SourceFile;
  /** Targets as written, and for relative ones the file they name, from the root. Type-only imports are marked. */
  readonly imports: readonly ImportEdge[];
}

export interface ImportEdge {
  readonly specifier: string;
  readonly target: string | null;
  readonly typeOnly: boolean;
}

export interface FunctionSpan {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

function* typescriptFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (SKIPPED.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* typescriptFiles(path);
    else if (/\.ts$/.test(entry.name) && !entry.name.endsWith('.d.ts')) yield path;
  }
}

export function readSources(): SourceFile[] {
  const folders = FOLDERS.map((folder) => join(ROOT, folder)).filter((folder) => existsSync(folder));
  return folders.flatMap((folder) => [...typescriptFiles(folder)]).map(parse);
}

function parse(file: string): SourceFile {
  return parseSource(relative(ROOT, file), readFileSync(file, 'utf8'));
}

/** @param path from the root; need not exist */
export function parseSource(path: string, text: string): SourceFile {
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  return { path, text, tree, lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0), isTest: /\.(test|fixture)\.ts$/.test(path), imports: importsOf(join(ROOT, path), tree) };
}

function importsOf(file: string, tree: ts.SourceFile): ImportEdge[] {
  const edges: ImportEdge[] = [];
  const add = (specifier: ts.Expression | undefined, typeOnly: boolean): void => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return;
    const target = specifier.text.startsWith('.') ? relative(ROOT, resolve(dirname(file), specifier.text)) : null;
    edges.push({ specifier: specifier.text, target, typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, node.importClause?.isTypeOnly === true);
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0], false);
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return edges;
}

/** Every function, method and arrow with a block body, and how many lines it spans. */
export function functionsOf(source: SourceFile): FunctionSpan[] {
  const spans: FunctionSpan[] = [];
  const visit = (node: ts.Node): void => {
    if (isFunctionWithBody(node) && !isGroup(node)) {
      const first = source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree)).line;
      const last = source.tree.getLineAndCharacterOfPosition(node.getEnd()).line;
      spans.push({ name: nameOf(node, source.tree), line: first + 1, lines: last - first + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(source.tree);
  return spans;
}

function isFunctionWithBody(node: ts.Node): node is ts.FunctionLikeDeclaration {
  return ts.isFunctionLike(node) && 'body' in node && node.body !== undefined;
}

/** The callback of `describe` is a heading over tests, not a function that somebody has to follow. */
function isGroup(node: ts.Node): boolean {
  const call = node.parent;
  if (!ts.isCallExpression(call) || call.expression === node) return false;
  return /^describe(\.\w+)*$/.test(call.expression.getText().replace(/\(.*$/s, ''));
}

function nameOf(node: ts.FunctionLikeDeclaration, tree: ts.SourceFile): string {
  if (node.name !== undefined) return node.name.getText(tree);
  if (ts.isVariableDeclaration(node.parent) || ts.isPropertyAssignment(node.parent)) return node.parent.name.getText(tree);
  return '(anonymous)';
}

/** Names of the functions, classes and constants that a file exports where it declares them; not its default. */
export function exportedValuesOf({ tree }: SourceFile): string[] {
  return tree.statements.flatMap((statement) => {
    if (!ts.canHaveModifiers(statement) || ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) !== true) return [];
    if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.flatMap(({ name }) => (ts.isIdentifier(name) ? [name.text] : []));
    return (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) && statement.name !== undefined ? [statement.name.text] : [];
  });
}
