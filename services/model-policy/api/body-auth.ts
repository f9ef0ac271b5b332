/** What an `auth` member of a body may say (C-24, C-62). */
export { requireSameTenant, withPolicyContext } from '../../platform/auth/body-auth.ts';
