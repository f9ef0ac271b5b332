/** `node` is docker.io/library/node; whatever has a dot before its first slash names its registry. */
export function placeOf(image: string): { readonly registry: string; readonly repository: string };
export function digestOf(image: string, tag: string, ask?: (url: string, options?: { headers?: Record<string, string> }) => Promise<Response>): Promise<string>;
