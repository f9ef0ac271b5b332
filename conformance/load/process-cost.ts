/** CPU seconds used so far by processes and, for Postgres, by the backends they forked (Linux; null elsewhere). */
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** User and system seconds of the process, its live children, and the children it has reaped. */
export function cpuSeconds(pid: number): number | null {
  try {
    const own = ticks(pid, true);
    const children = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((candidate) => parentOf(candidate) === pid);
    return (own + children.reduce((sum, child) => sum + ticks(child, false), 0)) / TICKS_PER_SECOND;
  } catch {
    return null;
  }
}

/** Fields of /proc/<pid>/stat after the command, which is in parentheses and may hold spaces. */
function statFields(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function ticks(pid: number, withReaped: boolean): number {
  try {
    const fields = statFields(pid);
    const sum = Number(fields[11]) + Number(fields[12]);
    return withReaped ? sum + Number(fields[13]) + Number(fields[14]) : sum;
  } catch {
    return 0;
  }
}

function parentOf(pid: number): number {
  try {
    return Number(statFields(pid)[1]);
  } catch {
    return -1;
  }
}
