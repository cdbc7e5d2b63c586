/** Rows of a page that people may choose; the first of a list is 50. */
export const limits = ['25', '50', '100', '200'] as const;
export type Limit = (typeof limits)[number];
export const usualLimit: Limit = '50';
