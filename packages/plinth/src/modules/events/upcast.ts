import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { fail } from './row.ts';
import { compileSchema } from './schema.ts';
import type { StreamEvent } from './stream.ts';

/** What an upcaster may know of an event, whether it comes from a stream or from the log. */
export type UpcastEvent = Pick<StreamEvent, 'id' | 'type' | 'schemaVersion' | 'data' | 'correlationId' | 'causationId' | 'createdAt'>;

/** Turns the data of one version of an event type into those of the next. It must not change what it is given. */
export type Upcaster = (data: Record<string, unknown>, event: UpcastEvent) => Record<string, unknown>;

/** By event type, by the version that an upcaster turns into the next: `{ 'order.created': { 1: addCurrency, 2: splitName } }`. */
export type UpcasterChains = Record<string, Record<number, Upcaster>>;

export interface Upcasters {
  /** The event in the newest form of its type. An event of a type without a chain, or newer than it, is given back as it is. Error events_upcast_failed. */
  upcast<Event extends UpcastEvent>(event: Event): Event;
  /** By event type, the version that the chain ends in. */
  readonly newest: ReadonlyMap<string, number>;
  /** Changes with the code of the chains, so that states made by other code can be told apart. */
  readonly fingerprint: string;
}

/**
 * Chains of upcasters; each type's begins at version 1 and leaves none out, or it throws a RangeError where it is defined.
 *
 * @example
 * const upcasters = defineUpcasters({ 'order.created': { 1: (data) => ({ ...data, currency: 'EUR' }) } });
 */
export function defineUpcasters(chains: UpcasterChains): Upcasters {
  const newest = new Map<string, number>();
  for (const [type, chain] of Object.entries(chains)) {
    const versions = Object.keys(chain).map(Number);
    for (const [index, version] of versions.sort((a, b) => a - b).entries())
      if (version !== index + 1) throw new RangeError(`The chain of ${type} has no upcaster for version ${index + 1}`);
    newest.set(type, versions.length + 1);
  }
  const source = Object.entries(chains).map(([type, chain]) => [type, Object.entries(chain).map(([version, upcaster]) => [version, String(upcaster)])]);
  return {
    newest,
    fingerprint: createHash('sha256').update(JSON.stringify(source)).digest('hex').slice(0, 16),
    upcast(event) {
      const chain = chains[event.type];
      if (!chain) return event;
      let { data, schemaVersion } = event;
      for (let upcaster = chain[schemaVersion]; upcaster; upcaster = chain[schemaVersion]) {
        data = applied(upcaster, data, { ...event, data, schemaVersion });
        schemaVersion++;
      }
      return schemaVersion === event.schemaVersion ? event : { ...event, data, schemaVersion };
    },
  };
}

function applied(upcaster: Upcaster, data: Record<string, unknown>, event: UpcastEvent): Record<string, unknown> {
  const about = { event_id: event.id, type: event.type, schema_version: event.schemaVersion };
  try {
    const next = upcaster(data, event);
    if (typeof next === 'object' && next !== null && !Array.isArray(next)) return next;
  } catch (cause) {
    throw fail('upcast_failed', {
      message: `The upcaster of ${event.type} version ${event.schemaVersion} failed on event ${event.id}: ${(cause as Error).message}`,
      detail: about,
      cause,
    });
  }
  throw fail('upcast_failed', { message: `The upcaster of ${event.type} version ${event.schemaVersion} gave no object for event ${event.id}`, detail: about });
}

/** Data of an event as some version of the program once wrote them, kept as a test fixture for as long as such events may be stored. */
export interface Fossil {
  type: string;
  schemaVersion: number;
  data: Record<string, unknown>;
  /** What they are in the newest version. */
  becomes?: Record<string, unknown> | undefined;
}

const stored = ({ type, schemaVersion, data }: Fossil): StreamEvent => ({
  id: '00000000-0000-7000-8000-000000000000',
  type,
  schemaVersion,
  version: 1,
  data,
  metadata: {},
  actor: { type: 'system', id: 'fossil' },
  correlationId: null,
  causationId: null,
  occurredAt: new Date(0),
  createdAt: new Date(0),
});

/**
 * What is wrong with chains of upcasters, seen from stored fixtures: a version of a type without a fossil, an upcaster that throws, changes its
 * input or gives something else than the fossil `becomes`, data that do not fit the newest JSON Schema of the type. For a test: expect it to be empty.
 */
export function fossilFaults(upcasters: Upcasters, fossils: readonly Fossil[], schemas: Record<string, Record<string, unknown>> = {}): string[] {
  const faults: string[] = [];
  for (const [type, newest] of upcasters.newest)
    for (let version = 1; version <= newest; version++)
      if (!fossils.some((fossil) => fossil.type === type && fossil.schemaVersion === version)) faults.push(`${type} version ${version} has no fossil`);
  for (const fossil of fossils) {
    const where = `${fossil.type} version ${fossil.schemaVersion}`;
    const before = structuredClone(fossil.data);
    try {
      const { data, schemaVersion } = upcasters.upcast(stored(fossil));
      const newest = upcasters.newest.get(fossil.type) ?? 1;
      if (schemaVersion !== newest) faults.push(`${where} ends in version ${schemaVersion}, not ${newest}`);
      if (fossil.becomes && !isDeepStrictEqual(data, fossil.becomes)) faults.push(`${where} becomes ${JSON.stringify(data)}`);
      const schema = schemas[fossil.type];
      const fault = schema && compileSchema(schema)(data);
      if (fault) faults.push(`${where} does not fit the newest schema: ${fault}`);
    } catch (error) {
      faults.push(`${where}: ${(error as Error).message}`);
    }
    if (!isDeepStrictEqual(fossil.data, before)) faults.push(`${where}: an upcaster changed its input`);
  }
  return faults;
}
