/**
 * Who may call what, address by address: method, address, and the permission that it asks for. `operator`: of operators only, whoever else has the permission;
 * `itself`: the procedure looks itself; `free`: shows no tenant's records, so that an operator needs no reason; `across`: operators need not name a tenant.
 */

const PROCEDURES = `
POST /audit/entries audit.write
GET /audit/entries/{id} audit.read
GET /audit/entries/{id}/children audit.read
GET /audit/history/{entity_type}/{entity_id} audit.read
GET /audit/tables audit.read
GET /durable-streams streams.read
GET /event-types events.read
GET /event-types/{name} events.read
PUT /event-types/{name} events.write
DELETE /event-types/{name} events.write
POST /event-types/{name}/check events.read
PUT /event-types/{name}/deprecation events.write
DELETE /event-types/{name}/deprecation events.write
POST /event-types/{name}/unmark events.unmark
POST /events events.write
GET /events/catalogue/asyncapi events.read
GET /events/catalogue/openapi events.read
GET /events/catalogue/typescript events.read
GET /events/cloudevents events.read
POST /events/cloudevents events.write
GET /events/consumers operator events.read
POST /events/consumers/{id}/forget operator events.admin
POST /events/consumers/{id}/park operator events.admin
POST /events/consumers/{id}/pause operator events.admin
POST /events/consumers/{id}/resume operator events.admin
POST /events/consumers/{id}/rewind operator events.admin
POST /events/parked/retry events.retry
POST /events/parked/{id}/discard events.retry
POST /events/parked/{id}/park events.retry
POST /events/parked/{id}/retry events.retry
GET /events/projections operator events.read
POST /events/projections/{id}/cancel operator events.admin
POST /events/streams events.write
GET /events/streams/{type}/{id} events.read
POST /events/streams/{type}/{id} events.write
POST /events/subjects/erase events.erase
GET /events/{id} events.read
GET /find across
GET /idempotency/check idempotency.read
POST /jobs jobs.write
POST /jobs/batches jobs.write
GET /jobs/batches/{id} jobs.read
POST /jobs/batches/{id}/close jobs.write
POST /jobs/bulk jobs.write
PUT /jobs/installation/limits operator jobs.limits
DELETE /jobs/installation/limits/{id} operator jobs.limits
POST /jobs/installation/pauses operator jobs.limits
POST /jobs/installation/pauses/{id}/resume operator jobs.limits
PUT /jobs/installation/retention operator jobs.limits
PUT /jobs/installation/weights/{tenant_id} operator jobs.limits
GET /jobs/limits jobs.read
PUT /jobs/limits jobs.limits
DELETE /jobs/limits/{id} jobs.limits
GET /jobs/pauses jobs.read
POST /jobs/pauses jobs.limits
POST /jobs/pauses/{id}/again jobs.limits
POST /jobs/pauses/{id}/resume jobs.limits
GET /jobs/queues jobs.read
GET /jobs/redrive jobs.read
POST /jobs/redrive jobs.retry
GET /jobs/retention jobs.read
PUT /jobs/retention jobs.limits
PUT /jobs/schedules jobs.write
GET /jobs/schedules/preview jobs.read free
DELETE /jobs/schedules/{id} jobs.write
POST /jobs/schedules/{id}/pause jobs.write
POST /jobs/schedules/{id}/resume jobs.write
GET /jobs/{id} jobs.read
POST /jobs/{id}/cancel jobs.write
GET /jobs/{id}/dependencies jobs.read
GET /jobs/{id}/explain jobs.read
GET /jobs/{id}/logs jobs.read
POST /jobs/{id}/reschedule jobs.write
POST /jobs/{id}/retry jobs.retry
GET /keys access.read
POST /keys access.admin
DELETE /keys/{id} access.admin
POST /keys/{id}/rotate access.admin
GET /lists free across
GET /lists/{module}/{list} itself audit.read across
GET /lists/{module}/{list}/{id} itself audit.read across
GET /maintenance/holds maintenance.read
POST /maintenance/holds maintenance.admin
POST /maintenance/holds/{id}/release maintenance.admin
POST /maintenance/installation/holds operator maintenance.admin
POST /maintenance/installation/holds/{id}/release operator maintenance.admin
PUT /maintenance/installation/policies/{kind} operator maintenance.admin
DELETE /maintenance/installation/policies/{kind} operator maintenance.admin
GET /maintenance/plan operator maintenance.read
GET /maintenance/policies maintenance.read
GET /maintenance/policies/{kind} maintenance.read
PUT /maintenance/policies/{kind} maintenance.admin
DELETE /maintenance/policies/{kind} maintenance.admin
GET /maintenance/runs operator maintenance.read
POST /maintenance/runs operator maintenance.admin
GET /maintenance/runs/{id} operator maintenance.read
GET /me free across
GET /operators/keys operator operators.read
POST /operators/keys operator operators.admin
DELETE /operators/keys/{id} operator operators.admin
GET /queues queue.read
POST /queues/dead-letters/{id}/redrive queue.admin
GET /queues/{name} queue.read
PUT /queues/{name} queue.admin
POST /queues/{name}/acknowledge queue.receive
POST /queues/{name}/extend queue.receive
POST /queues/{name}/messages queue.send
POST /queues/{name}/purge queue.admin
POST /queues/{name}/receive queue.receive
POST /queues/{name}/redrive queue.admin
POST /queues/{name}/release queue.receive
GET /roles access.read
PUT /roles/{name} access.admin
DELETE /roles/{name} access.admin
GET /tenants operator tenants.read
POST /tenants operator tenants.write
PATCH /tenants/{id} operator tenants.write
GET /traces/{id} across
GET /users access.read
POST /users access.admin
GET /users/{id} access.read
PATCH /users/{id} access.admin
DELETE /users/{id} access.admin
GET /webhooks/deliveries/{id}/attempts webhooks.read
POST /webhooks/deliveries/{id}/resend webhooks.retry
POST /webhooks/deliveries/{id}/skip webhooks.retry
PUT /webhooks/installation/limits operator webhooks.write
GET /webhooks/limits webhooks.read
PUT /webhooks/limits webhooks.write
GET /webhooks/matching/{type} webhooks.read
POST /webhooks/portal-links webhooks.write
DELETE /webhooks/portal-links webhooks.write
GET /webhooks/portal/attempts webhooks.portal.read
GET /webhooks/portal/attempts/{id} webhooks.portal.read
POST /webhooks/portal/attempts/{id}/resend webhooks.portal.write
GET /webhooks/portal/endpoints webhooks.portal.read
POST /webhooks/portal/endpoints webhooks.portal.write
GET /webhooks/portal/endpoints/{id} webhooks.portal.read
PATCH /webhooks/portal/endpoints/{id} webhooks.portal.write
DELETE /webhooks/portal/endpoints/{id} webhooks.portal.write
POST /webhooks/portal/endpoints/{id}/disable webhooks.portal.write
GET /webhooks/portal/endpoints/{id}/replays webhooks.portal.read
POST /webhooks/portal/endpoints/{id}/replays webhooks.portal.write
POST /webhooks/portal/endpoints/{id}/replays/preview webhooks.portal.read
POST /webhooks/portal/endpoints/{id}/resume webhooks.portal.write
POST /webhooks/portal/endpoints/{id}/rotate-key webhooks.portal.write
POST /webhooks/portal/endpoints/{id}/rotate-secret webhooks.portal.write
POST /webhooks/portal/endpoints/{id}/test webhooks.portal.write
GET /webhooks/portal/event-types webhooks.portal.read
POST /webhooks/portal/replays/{id}/cancel webhooks.portal.write
POST /webhooks/preview webhooks.write
POST /webhooks/replays/{id}/cancel webhooks.retry
POST /webhooks/retry-schedules/preview webhooks.read
GET /webhooks/sources webhooks.read
POST /webhooks/sources webhooks.write
GET /webhooks/sources/{id} webhooks.read
DELETE /webhooks/sources/{id} webhooks.write
POST /webhooks/sources/{id}/disable webhooks.write
POST /webhooks/sources/{id}/enable webhooks.write
POST /webhooks/sources/{id}/rotate-secret webhooks.write
POST /webhooks/subscriptions webhooks.write
GET /webhooks/subscriptions/{id} webhooks.read
PATCH /webhooks/subscriptions/{id} webhooks.write
DELETE /webhooks/subscriptions/{id} webhooks.write
POST /webhooks/subscriptions/{id}/disable webhooks.write
POST /webhooks/subscriptions/{id}/enable webhooks.write
PATCH /webhooks/subscriptions/{id}/policy webhooks.write
POST /webhooks/subscriptions/{id}/replays webhooks.retry
POST /webhooks/subscriptions/{id}/replays/preview webhooks.retry
POST /webhooks/subscriptions/{id}/resume webhooks.write
POST /webhooks/subscriptions/{id}/rotate-key webhooks.write
POST /webhooks/subscriptions/{id}/rotate-secret webhooks.write
POST /webhooks/subscriptions/{id}/test webhooks.write
GET /webhooks/subscriptions/{id}/transforms webhooks.read
`;

/** What is mounted beside the procedures; an address that answers several methods has how it is mounted at its end. */
const OWN = `
GET / public
GET /livez public
GET /readyz public
GET /metrics public
GET /openapi.json public
GET /docs public
GET /docs/style.css public
GET /docs/errors public
GET /docs/errors/{code} public
GET /console public
GET /console/* public
POST /api/v1/console/login public
POST /api/v1/console/logout public
GET /portal public
GET /portal/{token} public
GET /api/v1/webhooks/portal/session link
POST /api/v1/webhooks/portal/logout public
GET /api/v1/webhooks/portal/endpoints/{id}/messages webhooks.portal.read
GET /api/v1/webhooks/jwks/{tenant} public
GET /api/v1/webhooks/jwks/{tenant}/{subscription} public
POST /api/v1/webhooks/inbound/{source} public
GET /realtime events.read
GET /api/v1/jobs/{id}/watch jobs.read
GET /api/v1/exports/{module}/{list} audit.read across
GET /api/v1/durable/events/{type}/{id} events.read
GET /api/v1/durable/webhooks/{id} webhooks.pull
GET /api/v1/streams/a/path streams.read ALL /api/v1/streams/*
PUT /api/v1/streams/a/path streams.write ALL /api/v1/streams/*
POST /api/v1/streams/a/path streams.write ALL /api/v1/streams/*
DELETE /api/v1/streams/a/path streams.write ALL /api/v1/streams/*
`;

/** Mounts through which procedures are reached. */
export const MOUNTS = [
  'ALL /api/v1/*',
  'ALL /api/trpc/*',
  'ALL /console/*',
  'ALL /api/v1/webhooks/portal/*',
  ...['GET', 'HEAD', 'POST'].map((method) => `${method} /api/v1/events/cloudevents`),
];

export interface Row {
  method: string;
  /** With names of parameters in braces. */
  path: string;
  /** any: whoever has a credential; link: a link into the portal and nothing else. */
  kind: 'public' | 'any' | 'tenant' | 'operator' | 'portal' | 'link';
  permission: string | undefined;
  itself: boolean;
  free: boolean;
  across: boolean;
  /** How it is mounted; undefined for a procedure. */
  mount: string | undefined;
}

function kindOf(words: readonly string[], permission: string | undefined): Row['kind'] {
  const said = (['public', 'operator', 'link'] as const).find((kind) => words.includes(kind));
  if (said) return said;
  return permission === undefined ? 'any' : permission.startsWith('webhooks.portal.') ? 'portal' : 'tenant';
}

function rowOf(line: string, own: boolean): Row {
  const [method = '', address = '', ...rest] = line.split(' ');
  const mounted = rest.indexOf('ALL');
  const words = mounted < 0 ? rest : rest.slice(0, mounted);
  const permission = words.find((word) => word.includes('.'));
  const mount = mounted < 0 ? `${method} ${address.replaceAll(/\{(\w+)\}/g, ':$1')}` : rest.slice(mounted).join(' ');
  return {
    method,
    path: own ? address : `/api/v1${address}`,
    kind: kindOf(words, permission),
    permission,
    itself: words.includes('itself'),
    free: words.includes('free'),
    across: words.includes('across'),
    mount: own ? mount : undefined,
  };
}

const linesOf = (table: string): string[] => table.trim().split('\n');

export const ROWS: readonly Row[] = [...linesOf(PROCEDURES).map((line) => rowOf(line, false)), ...linesOf(OWN).map((line) => rowOf(line, true))];

export const rowText = ({ method, path }: Row): string => `${method} ${path}`;

/** The address with something in place of its parameters that is nowhere. */
export const addressOf = ({ path }: Row): string =>
  path
    .replace('{module}', 'audit')
    .replace('{list}', 'entries')
    .replaceAll(/\{\w+\}/g, '01900000-0000-7000-8000-000000000000');
