/** Where the operations under /v1/admin/ are served in prod: on a listener of their own (PRS 10.1). */
export interface AdminValues {
  readonly AGENTOS_ADMIN_HOST: string;
  readonly AGENTOS_ADMIN_PORT?: number | undefined;
}

/** @param servicePort port of the service's own listener; 0 gives 0, any free one. */
export function adminAddress(values: AdminValues, servicePort: number): { readonly host: string; readonly port: number } {
  return { host: values.AGENTOS_ADMIN_HOST, port: values.AGENTOS_ADMIN_PORT ?? (servicePort === 0 ? 0 : servicePort + 10) };
}
