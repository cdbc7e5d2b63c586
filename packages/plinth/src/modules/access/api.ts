import { keys } from './keys.ts';
import { me } from './me.ts';
import { operators } from './operators.ts';
import { roles } from './roles.ts';
import { tenants } from './tenants.ts';
import { users } from './users.ts';

export const api = { me, tenants, users, roles, keys, operators };
