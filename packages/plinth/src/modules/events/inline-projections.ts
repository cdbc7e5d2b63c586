import type { Effect, EffectFollower } from '#kernel/effects.ts';
import { raiser } from '#kernel/errors.ts';
import { feedOf } from '#kernel/feed-read.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { eventsFor, liveTables, project, projectionsOf } from '#kernel/projection.ts';
import type { FeedEvent } from '#kernel/work.ts';
import { errors } from './errors.ts';

const fail = raiser('events', errors);

/** Events of one transaction that inline projections are given; more belong to an async one. */
const MOST_INLINE = 1_000;
const DEFAULT_TIMEOUT_MS = 1_000;

const rowsOf = ({ row, rows }: Effect): readonly Effect['row'][] => rows ?? [row];

/**
 * Runs the inline projections of all cards in the transactions that publish events, after these were written: what an idempotency key kept from being
 * written is not seen, and versions and positions are known.
 */
export function inlineProjections(modules: ModuleMap): EffectFollower | undefined {
  const inline = [...projectionsOf(modules)].filter(([, projection]) => projection.kind === 'inline');
  if (inline.length === 0) return undefined;
  const feed = feedOf(modules);
  const types = new Set(inline.flatMap(([, projection]) => projection.types ?? []));
  const followed = (effects: readonly Effect[]): Effect['row'][] => effects.flatMap(rowsOf).filter((row) => types.has(String(row.type)));
  return {
    follows: (effects) => followed(effects).length > 0,
    async run(tx, effects) {
      const ids = followed(effects).map((row) => row.id);
      if (ids.length > MOST_INLINE)
        throw fail('projection_flooded', {
          message: `The transaction publishes ${ids.length} events that inline projections follow; ${MOST_INLINE} are the most`,
        });
      const stored = await tx.query<FeedEvent>(
        `select ${feed.select} from ${feed.name} as e where e.tenant_id = $1 and e.id = any ($2::uuid[]) order by e.position`,
        [tx.context.tenantId, ids],
      );
      const opened = await feed.open(tx, stored);
      for (const [name, projection] of inline) {
        const own = eventsFor(projection, projection.stored ? stored : opened);
        if (own.length === 0) continue;
        const [limit] = await tx.query<{ before: string }>(`select current_setting('statement_timeout') as before, set_config('statement_timeout', $1, true)`, [
          String(projection.timeoutMs ?? DEFAULT_TIMEOUT_MS),
        ]);
        await project(tx, name, projection, own, liveTables(projection));
        await tx.query(`select set_config('statement_timeout', $1, true)`, [limit?.before ?? '0']);
      }
    },
  };
}
