/** Certificates of a listener, as whoever reads and watches them hands them over. */
import type { TlsOptions } from 'node:tls';

export interface TlsSource {
  /** What a listener that starts now is given: certificate and key, and what it asks of clients. */
  current(): TlsOptions;
  /** Called with each later set; connections that stand keep the old one. Call the answer to hear no more. */
  subscribe(listener: (next: TlsOptions) => void): () => void;
}
