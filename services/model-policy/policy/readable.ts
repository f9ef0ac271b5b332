/** Full-width digits and signs become their ASCII twins, one unit each, so that offsets stay. */
export function readable(text: string): string {
  return /[\uff01-\uff5e]/.test(text) ? text.replace(/[\uff01-\uff5e]/g, (char) => String.fromCharCode(char.charCodeAt(0) - 0xfee0)) : text;
}

/** What no reader sees and a detector would stumble over: soft hyphens, joiners, marks of direction, selectors, tags (Unicode, DerivedCoreProperties). */
const INVISIBLE = /\p{Default_Ignorable_Code_Point}/u;
const ALL_INVISIBLE = new RegExp(INVISIBLE, 'gu');

export const hasInvisible = (text: string): boolean => INVISIBLE.test(text);
export const withoutInvisible = (text: string): string => text.replace(ALL_INVISIBLE, '');

/** The text as it is seen, and for each of its units where that stands in the text as it is written. */
export function seen(text: string): { readonly text: string; readonly places: Uint32Array } {
  const places = new Uint32Array(text.length);
  let length = 0;
  let from = 0;
  const keep = (to: number): void => {
    for (let at = from; at < to; at += 1) places[length++] = at;
  };
  for (const match of text.matchAll(ALL_INVISIBLE)) {
    keep(match.index);
    from = match.index + match[0].length;
  }
  keep(text.length);
  return { text: withoutInvisible(text), places };
}
