/** The Redocly CLI as a child process, kept off the network: it reports to a telemetry host unless told otherwise. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { repositoryRoot } from './paths.ts';

export interface RedoclyResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function runRedocly(args: readonly string[], workingFolder = repositoryRoot): Promise<RedoclyResult> {
  const cli = join(repositoryRoot, 'node_modules', '@redocly', 'cli', 'bin', 'cli.js');
  const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', NO_COLOR: '1', FORCE_COLOR: '0' };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [cli, ...args], { cwd: workingFolder, env, maxBuffer: 256 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') {
        reject(new Error(`redocly ${args[0]} did not run: ${error.message}. Is node_modules complete? Try npm ci.`));
        return;
      }
      resolve({ exitCode: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}
