/**
 * Who is there at the moment, where members come and go with every request.
 *
 * A Set does the same, and keeps what has left: when its hash table is replaced, the old one goes on pointing to the new
 * one, so a table that has once grown old holds all later ones with their members until the next full collection. Here
 * each member knows its place, and what leaves is garbage at once.
 */
export class Roster<Member> implements Iterable<Member> {
  readonly #places: { readonly member: Member; at: number }[] = [];

  /** @returns what takes the member off again; calling it twice does no more than calling it once. */
  add(member: Member): () => void {
    const places = this.#places;
    const place = { member, at: places.length };
    places.push(place);
    return () => {
      if (places[place.at] !== place) return;
      const last = places.pop()!;
      if (last === place) return;
      last.at = place.at;
      places[place.at] = last;
    };
  }

  /** Those who are there when it is asked, in no order, whoever leaves meanwhile. */
  [Symbol.iterator](): Iterator<Member> {
    return this.#places.map(({ member }) => member)[Symbol.iterator]();
  }
}
