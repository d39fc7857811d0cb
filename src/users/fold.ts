/**
 * Removes differences of width, marks and case: `ＡＤＡ`, `Ädä` and `ada` become the same text. It is used to look up and
 * count emails and to recognize common passwords. Upper case comes first, since `ı` and `i` share it. For ASCII the
 * result is that of PostgreSQL's lower() in the collation "C".
 */
export const fold = (text: string): string => text.normalize('NFKD').replace(/\p{M}/gu, '').toUpperCase().toLowerCase();
