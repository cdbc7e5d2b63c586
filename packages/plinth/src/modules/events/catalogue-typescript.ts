import type { Catalogue } from './catalogue.ts';
import { sentencesOf } from './catalogue.ts';
import { comment, pascal, typescriptOf } from './schema-typescript.ts';

const HEAD = `// Event types of this installation, written by "plinth events export --format typescript". Do not edit.
`;

const TAIL = `
export type EventType = keyof EventData;

/** What a webhook's body is. */
export interface EventMessage<Type extends EventType = EventType> {
  type: Type;
  timestamp: string;
  data: EventData[Type];
}

/** A message of any type: narrow it by \`message.type\`. */
export type AnyEventMessage = { [Type in EventType]: EventMessage<Type> }[EventType];
`;

/** The catalogue as a TypeScript module: a type for the data of each event, and \`EventData\` by name. The same catalogue gives the same text. */
export function typescriptTypes(catalogue: Catalogue): string {
  const taken = new Set(['EventData', 'EventType', 'EventMessage', 'AnyEventMessage', 'Record']);
  const named = catalogue.types.map((type) => {
    const base = pascal(type.name);
    let name = base;
    for (let n = 2; taken.has(name); n++) name = `${base}${n}`;
    taken.add(name);
    return { type, name };
  });
  const declared = named.map(({ type, name }) => {
    const said = [
      ...(type.description === null ? [] : [type.description]),
      ...(type.deprecation === null ? [] : [`@deprecated ${sentencesOf({ ...type, description: null })?.slice('Deprecated: '.length) ?? ''}`]),
    ];
    return typescriptOf(name, type.schema ?? { type: 'object' }, taken, said);
  });
  const members = named.map(
    ({ type, name }) => `${comment(type.deprecation === null ? [] : [`@deprecated ${type.deprecation}`], '  ')}  ${JSON.stringify(type.name)}: ${name};\n`,
  );
  return `${HEAD}\n${declared.map((text) => `${text}\n`).join('')}export interface EventData {\n${members.join('')}}\n${TAIL}`;
}
