/** What nodes sign for each other; Federation makes and verifies it, and every other door only has to know it by its looks. */

/** `typ` of the header: what was signed for something else with the same key is no assertion. */
export const PEER_ASSERTION_TYPE = 'agentos-peer+jwt';

/** True when the token says that it is one, whether it verifies or not. */
export function isPeerAssertion(token: string): boolean {
  const header = token.slice(0, token.indexOf('.'));
  if (header === '' || header.length > 2_048) return false;
  try {
    const { typ } = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as { readonly typ?: unknown };
    return typeof typ === 'string' && typ.toLowerCase().replace(/^application\//, '') === PEER_ASSERTION_TYPE;
  } catch {
    return false;
  }
}
