/** The public SQL functions, from the catalog, and things that they can be called with. */
import type pg from 'pg';
import type { TestDatabase } from '../packages/plinth/src/testing/database.ts';

export interface SqlFunction {
  name: string;
  signature: string;
  names: string[];
  types: string[];
  required: number;
}

/** In an order of its own for each seed. */
export const publicFunctions = async (client: Pick<pg.Client, 'query'>, seed = 0): Promise<SqlFunction[]> =>
  (
    await client.query<SqlFunction>(
      `select p.proname as name, p.oid::regprocedure::text as signature, p.pronargs - p.pronargdefaults as required, coalesce(p.proargnames[1:p.pronargs], '{}') as names,
         array(select format_type(t, null) from unnest(p.proargtypes::oid[]) t) as types
       from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'plinth' and p.prokind = 'f' order by md5(p.proname || $1), 2`,
      [String(seed)],
    )
  ).rows;

/** Makes one of each thing for a tenant. Returns usual values of parameters by their names. `url`: where webhooks go. */
export const thingsOf = ({ plinth }: TestDatabase, tenantId: string, name: string, url: string): Promise<Record<string, readonly string[]>> =>
  plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, async (tx) => {
    const one = async (text: string): Promise<string> => String(Object.values((await tx.query<object>(text))[0] ?? {})[0]);
    // A tenant may have twenty at a time, and some never end: their subscriptions are disabled.
    await one(`select count(plinth.cancel_replay(r.id)) from plinth.webhook_replays as r where r.status = 'running'`);
    await one(`select plinth.configure_queue('${name}')`);
    await one(`select plinth.send_message('${name}', '{}')`);
    await one(`select plinth.create_durable_stream('${name}', 'application/json')`);
    const type = `${name}.happened`;
    await one(`select plinth.define_event_type('${type}', '{"type": "object"}')`);
    const subscription = await one(`select subscription_id from plinth.subscribe('${name}', '{ping.#,${name}.*}', '${url}')`);
    const job = await one(`select plinth.schedule_job(p_job_type => 'extreme.wait', p_run_at => now() + interval '1 hour')`);
    const event = await one(`select plinth.publish_event('${type}', '{}', p_aggregate_type => 'order', p_aggregate_id => '${name}')`);
    return {
      p_subscription_id: [subscription],
      p_source_id: [await one(`select source_id from plinth.add_inbound_source('${name}', 'github')`)],
      p_job_id: [job],
      p_id: [
        job,
        event,
        await one(`select plinth.pause_jobs('a test', p_queue => '${name}')`),
        await one(`select plinth.set_job_limit('key', 5, p_concurrency_key => '${name}')`),
      ],
      p_ids: [`{${event}}`],
      p_event_id: [event],
      p_hold_id: [await one(`select plinth.place_legal_hold('a test', p_entity => '${name}%')`)],
      p_replay_id: [await one(`select plinth.start_replay('${subscription}', now() - interval '1 hour')`)],
      p_receipt: [await one(`select receipt from plinth.receive_messages('${name}')`)],
      p_queue: [name, 'default'],
      p_path: [name],
      p_name: [`${name}_other`, type],
      p_event_type: [type, 'ping.sent'],
      p_url: [url],
      p_kind: ['audit.entries', 'events.events', 'extreme.wait'],
      p_job_type: ['extreme.wait'],
      p_patterns: [`{${name}.*}`],
      p_reason: ['a test'],
      p_cron: ['* * * * *'],
      p_aggregate_type: ['order'],
      p_aggregate_id: [name],
      p_per: ['tenant', 'key'],
      p_profile: ['github', 'standard'],
      p_action: ['order.paid'],
      p_payload: ['{}', '{"n": 1}'],
      p_schema: ['{"type": "object"}'],
      p_events: [`[{"event_type": "${type}", "payload": {}}]`],
      p_appends: [`[{"aggregate_type": "order", "aggregate_id": "${name}", "events": [{"event_type": "${type}", "payload": {}}]}]`],
      p_filter: ['{}'],
      p_key: [`${name}-key`],
      p_entity: ['order:1', 'order'],
      p_subject: ['ada'],
      p_max_running: ['5'],
      p_rate: ['5'],
      p_priority: ['5'],
      p_limit: ['10'],
      p_what: ['continue', 'skip', 'replay'],
      p_pattern: [`${name}.*`],
      p_messages: ['[{"payload": {}}]'],
      p_jobs: ['[{"job_type": "extreme.wait", "payload": {}}]'],
    };
  });
