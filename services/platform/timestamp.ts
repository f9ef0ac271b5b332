/** Milliseconds of a timestamp as the contract takes it, which has leap seconds where Date.parse has none: a 60th second is the one after it. */
export function timestampMs(timestamp: string): number {
  const leap = timestamp.replace(/^(\d{4}-\d\d-\d\dT\d\d:\d\d):60/i, '$1:59');
  return Date.parse(leap) + (leap === timestamp ? 0 : 1_000);
}
