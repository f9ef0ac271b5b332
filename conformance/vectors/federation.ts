/**
 * What a peer must be refused (reliability catalogue, Federation). These vectors wait: forwarding, ingest and replication
 * are specified and answer 501, so there is nothing yet that could let any of it through. The test that holds this list
 * fails on the day one of the operations is served, and asks for the vectors that belong to it.
 */
export interface WaitingVector {
  readonly name: string;
  /** The operation that would have to refuse it. */
  readonly operation: 'forwardRun' | 'ingestFederatedEvents' | 'streamFederatedRunEvents';
  readonly expected: string;
}

export const federationVectors: readonly WaitingVector[] = [
  { name: 'no client certificate', operation: 'forwardRun', expected: 'the handshake fails' },
  { name: 'a certificate of the right authority with the wrong name', operation: 'forwardRun', expected: '401 peer_untrusted' },
  { name: 'an issuer other than the name in the certificate', operation: 'forwardRun', expected: '401 peer_untrusted' },
  { name: 'one jti twice', operation: 'forwardRun', expected: '401 peer_untrusted' },
  { name: 'a lifetime of more than 60 s', operation: 'forwardRun', expected: '401 peer_untrusted' },
  { name: 'a digest of another body', operation: 'forwardRun', expected: '401 peer_untrusted' },
  { name: 'a tenant in the body other than the one in the claims', operation: 'forwardRun', expected: '400 tenant_mismatch' },
  { name: 'a forward loop', operation: 'forwardRun', expected: '409' },
  { name: 'a forward that is tried again', operation: 'forwardRun', expected: '200 and the same run' },
  { name: "another tenant's events", operation: 'streamFederatedRunEvents', expected: '404' },
  { name: 'a conflicting event at a sequence that is taken', operation: 'ingestFederatedEvents', expected: '409' },
  { name: 'an events URL of a host that is no peer', operation: 'ingestFederatedEvents', expected: '400' },
];
