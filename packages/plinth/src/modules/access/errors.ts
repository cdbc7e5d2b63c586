import type { ErrorCatalogue } from '#kernel/errors.ts';

export const errors = {
  key_unknown: { status: 401, title: 'The API key is not valid', wayOut: 'Check that the whole key was copied; make a new one if it is lost.' },
  key_expired: { status: 401, title: 'The API key has expired', wayOut: 'Rotate keys before they expire, or make a new one.' },
  key_revoked: { status: 401, title: 'The API key was revoked', wayOut: 'Make a new key.' },
  token_invalid: {
    status: 401,
    title: 'The token is not valid',
    wayOut: 'Send a JWT of the configured issuer and audience that has not expired, signed with an allowed algorithm.',
  },
  token_unsupported: { status: 401, title: 'JSON Web Tokens are not set up here', wayOut: 'Set PLINTH_JWT_SECRET or PLINTH_JWKS_URL, or use an API key.' },
  tenant_suspended: { status: 403, title: 'The tenant is not active', wayOut: 'Ask the operators of this installation to activate it.' },
  user_suspended: { status: 403, title: 'The user is suspended', wayOut: 'Ask an administrator of the tenant to activate the user.' },
  tenant_unknown: { status: 404, title: 'There is no such tenant', wayOut: 'Check the tenant id; GET /api/v1/tenants lists them for operators.' },
  tenant_exists: { status: 409, title: 'A tenant with this slug exists', wayOut: 'Choose another slug.' },
  user_not_found: { status: 404, title: 'There is no such user', wayOut: 'Check the id; GET /api/v1/users lists them.' },
  user_exists: { status: 409, title: 'A user with this id or e-mail address exists', wayOut: 'Change the existing user, or use another id and address.' },
  role_not_found: {
    status: 404,
    title: 'There is no such role',
    wayOut: 'Use a built-in role (owner, admin, member, viewer, support) or define it with PUT /api/v1/roles/{name}.',
  },
  role_built_in: { status: 409, title: 'Built-in roles cannot be changed', wayOut: 'Define a role under another name.' },
  role_in_use: { status: 409, title: 'Users still have this role', wayOut: 'Take the role from them first.' },
  key_not_found: { status: 404, title: 'There is no such API key', wayOut: 'Check the id; GET /api/v1/keys lists them.' },
  key_inactive: { status: 409, title: 'The API key is revoked or expired', wayOut: 'Make a new key instead of rotating this one.' },
  escalation: { status: 403, title: 'This would grant more than you have', wayOut: 'Grant only permissions that your own credential has.' },
  permission_unknown: {
    status: 422,
    title: 'Nothing here asks for such a permission',
    wayOut: 'Correct it to one that the detail lists, or to a pattern such as audit.*, *.read or *.',
  },
  link_invalid: {
    status: 401,
    title: 'The login link is unknown, used or expired',
    wayOut: 'plinth login prints a new link; a link works once and for 15 minutes. Or sign in with a key.',
  },
  session_invalid: {
    status: 401,
    title: 'The console session is not valid any more',
    wayOut: 'Open a new login link (plinth login prints one), or sign in with a key.',
  },
  cross_site: {
    status: 403,
    title: 'A console session was used from another site',
    wayOut: 'Call from the console itself, or use an API key; a proxy in between has to pass on the Host that the browser sent.',
  },
  admin_key_malformed: {
    status: 400,
    title: 'PLINTH_ADMIN_KEY is not a Plinth key',
    wayOut: 'Leave it unset to have one made, or set a key made by plinth: plk_operator_...',
  },
  admin_key_revoked: {
    status: 409,
    title: 'PLINTH_ADMIN_KEY was revoked',
    wayOut: 'Give another operator key (POST /api/v1/operators/keys makes one), or leave it unset.',
  },
  admin_key_expired: {
    status: 409,
    title: 'PLINTH_ADMIN_KEY has expired',
    wayOut: 'Give another operator key (POST /api/v1/operators/keys makes one), or leave it unset.',
  },
} as const satisfies ErrorCatalogue;
