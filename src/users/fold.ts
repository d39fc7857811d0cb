/**
 * A text without width, marks and case: `ＡＤＡ`, `Ädä` and `ada` are one. Addresses are found and counted by it, and common
 * passwords known. Capitals come first, for `ı` has that of `i`. Of ASCII it is what PostgreSQL's lower() makes in "C".
 */
export const fold = (text: string): string => text.normalize('NFKD').replace(/\p{M}/gu, '').toUpperCase().toLowerCase();
