/** Full-width digits and signs become their ASCII twins, one unit each, so that offsets stay. */
export function readable(text: string): string {
  return /[\uff01-\uff5e]/.test(text) ? text.replace(/[\uff01-\uff5e]/g, (char) => String.fromCharCode(char.charCodeAt(0) - 0xfee0)) : text;
}
