import type { Band, Story, StoryRow } from './story.ts';

/** Lines that are drawn at first, and that each "Show more" adds. */
export const linesAtOnce = 500;

/** A band with those of its rows that are drawn. */
export interface Part {
  band: Band;
  rows: readonly StoryRow[];
}

/** The first `most` rows of a story, in their bands, that `asked` lets through; and how many it lets through in all. */
export function excerpt(story: Story, most: number, asked: (item: StoryRow) => boolean): { parts: readonly Part[]; rows: readonly StoryRow[]; total: number } {
  const parts: Part[] = [];
  const drawn: StoryRow[] = [];
  let total = 0;
  for (const band of story.bands) {
    const found = band.rows.filter(asked);
    const rows = found.slice(0, Math.max(most - total, 0));
    total += found.length;
    if (rows.length > 0) parts.push({ band, rows });
    drawn.push(...rows);
  }
  return { parts, rows: drawn, total };
}
