/** Text as the database can hold it: U+FFFD in place of NUL, and of half a surrogate pair where a text was cut. */
export const cleanText = (text: string): string => text.replaceAll('\0', '\uFFFD').toWellFormed();
