export { errors as accessErrors } from './errors.ts';
export { makeLoginLink, spendLoginLink } from './login.ts';
export { ADMIN_KEY_NAME, ensureAdminKey } from './operators.ts';
export { BUILT_IN_ROLES, permissionsOf } from './permissions.ts';
export type { FoundKey } from './principals.ts';
export { checkKey, checkTenant, findKey, findKeyById, findMember, keyHash, noteOperatorAccess, touchKey } from './principals.ts';
export { customRoles } from './roles.ts';
export type { AccessTransaction } from './transaction.ts';
export { NO_TENANT } from './transaction.ts';
