/** Every generated file, in memory. Writing, checking and measuring are the caller's. */
import { generateAccess } from './access.ts';
import { bundle, generateBundles } from './bundle.ts';
import { generateClients } from './client.ts';
import { generateErrorCodes } from './error-codes.ts';
import { generateEventTypes } from './event-types.ts';
import { generateHandlers } from './handlers.ts';
import { generateManifest } from './manifest.ts';
import { type GeneratedFiles } from './paths.ts';
import { generateReference } from './reference.ts';
import { readSchemaLibrary } from './schema-library.ts';
import { generateTypes } from './types.ts';
import { generateValidators } from './validators.ts';

export async function generateAll(): Promise<GeneratedFiles> {
  const bundles = await bundle();
  const library = readSchemaLibrary();
  const [types, validators] = await Promise.all([generateTypes(bundles, library), generateValidators(bundles, library)]);
  const parts = [
    generateBundles(bundles),
    types,
    generateErrorCodes(),
    generateEventTypes(library),
    validators,
    generateHandlers(bundles),
    generateAccess(bundles),
    generateClients(bundles),
    generateReference(bundles, library),
    generateManifest(),
  ];
  const files = parts.flatMap((part) => [...part]).sort(([a], [b]) => (a < b ? -1 : 1));
  return new Map(files);
}
