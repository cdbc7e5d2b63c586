/** Text that is HTML already; everything else is escaped when it gets into a page. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Part = Html | string | number | undefined | readonly Part[];

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign);

const render = (part: Part): string => {
  if (part === undefined) return '';
  if (part instanceof Html) return part.text;
  return typeof part === 'object' ? part.map(render).join('') : escaped(String(part));
};

/** A piece of a page: html`<b>${text}</b>`; what is put in is escaped, unless it is such a piece itself. */
export const html = (strings: TemplateStringsArray, ...parts: Part[]): Html => new Html(strings.map((text, index) => text + render(parts[index])).join(''));
