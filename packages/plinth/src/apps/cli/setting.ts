/** A setting or argument that cannot be used; the sentence names it and the way out. The exit code is 2. */
export class SettingFault extends Error {}

/** Texts with commas between. */
export const listOf = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');

export function flagOf(name: string, text: string | undefined): boolean {
  if (text === undefined || text === 'false' || text === '0') return false;
  if (text === 'true' || text === '1') return true;
  throw new SettingFault(`${name} is ${JSON.stringify(text)}: give true or false.`);
}
