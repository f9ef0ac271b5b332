/**
 * Which runs this node copies the events of, and who is at it: a list that outlives the process. It is filled from the
 * index of forwards, so that nothing is forgotten by a process that dies between a forward and its replication. A run is
 * taken under a lease; whoever lets it run out has lost the run to the next one who asks.
 */
export interface FollowedRun {
  readonly tenantId: string;
  readonly runId: string;
  readonly targetStackId: string;
  /** In a row, without an event in between. */
  readonly failures: number;
  /** Of the lease. */
  readonly token: string;
}

export interface FollowList {
  /** Enters at most `limit` runs that were forwarded to other nodes and began since; answers how many are new. */
  enter(query: { readonly ownStackId: string; readonly since: Date; readonly limit: number }): Promise<number>;
  /** Leases runs that are due, the longest waiting first. Of any number of simultaneous calls, a run goes to one. */
  take(query: { readonly limit: number; readonly leaseMs: number }): Promise<readonly FollowedRun[]>;
  /** Keys (`followKey`) of those that are still held; they are for another `leaseMs`. */
  renew(runs: readonly FollowedRun[], leaseMs: number): Promise<ReadonlySet<string>>;
  /** Gives a run back, to be taken again after a while. Nothing happens when it is not held any more. */
  giveBack(run: FollowedRun, next: { readonly afterMs: number; readonly failed: boolean }): Promise<void>;
  /** Nothing more will come. Nothing happens when it is not held any more. */
  finish(run: FollowedRun): Promise<void>;
  /** Runs that are not finished. */
  open(): Promise<number>;
  /** Forgets runs whose forward is forgotten; answers how many. */
  forget(limit: number): Promise<number>;
}

export const followKey = ({ tenantId, runId }: Pick<FollowedRun, 'tenantId' | 'runId'>): string => `${tenantId}\u001f${runId}`;
