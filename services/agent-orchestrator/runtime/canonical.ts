/** What makes two requests the same request. */
export { canonicalHash, canonicalJson } from '../../platform/canonical.ts';
