/** `npm run contract:release -- v1.02.0-alpha.1` freezes the contract as it stands under that version. */
import { readContract, isCommitted } from './contract-model.ts';
import { compareVersions, listReleases, parseVersion, writeSnapshot } from './releases.ts';
import { isPlanned, listOperations } from './openapi.ts';
import { services } from './paths.ts';

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || rest.length > 0) {
    process.stderr.write('Name one version: npm run contract:release -- v1.02.0-alpha.1\n');
    return 2;
  }
  const version = parseVersion(name);
  if (isCommitted(`specs/released/${version.text}/manifest.json`)) {
    process.stderr.write(`${version.text} is committed and therefore frozen. Freeze the next version instead.\n`);
    return 1;
  }
  const later = listReleases().find((other) => compareVersions(other, version) > 0);
  if (later !== undefined) {
    process.stderr.write(`${later.text} exists already and comes after ${version.text}. Choose a later version.\n`);
    return 1;
  }
  const contract = await readContract();
  const planned = services.flatMap((service) => listOperations(contract.openapi[service]).filter(isPlanned).map((operation) => operation.operationId));
  if (!version.isPreRelease && planned.length > 0) {
    process.stderr.write(`A stable release serves everything it specifies; still planned are ${planned.join(', ')}.\n`);
    return 1;
  }
  const files = writeSnapshot(version, contract);
  process.stdout.write(`Froze ${version.text}: ${files.length} files in specs/released/${version.text}/.\nNext: npm run contract:check\n`);
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
