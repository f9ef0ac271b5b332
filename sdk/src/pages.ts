/**
 * Cursor paging: `await` gives the first page, `for await` walks every item of every page.
 * The server answers `has_more`; the cursor is the id of the last item, or what the server gave as `next`.
 */
export interface PageSource<Item> {
  readonly items: readonly Item[];
  readonly hasMore: boolean;
  /** The cursor of the page after, where it is not made of the last item. */
  readonly next?: string | undefined;
}

export class Page<Item> implements AsyncIterable<Item> {
  readonly items: readonly Item[];
  readonly hasMore: boolean;
  readonly #next: () => Promise<Page<Item>>;

  constructor(source: PageSource<Item>, next: () => Promise<Page<Item>>) {
    this.items = source.items;
    this.hasMore = source.hasMore;
    this.#next = next;
  }

  /** The page after this one, or null at the end. */
  async next(): Promise<Page<Item> | null> {
    return this.hasMore && this.items.length > 0 ? this.#next() : null;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Item> {
    for (let page: Page<Item> | null = this; page !== null; page = await page.next()) yield* page.items;
  }
}

export class PagePromise<Item> implements PromiseLike<Page<Item>>, AsyncIterable<Item> {
  readonly #first: Promise<Page<Item>>;

  /** `load` fetches the page after the item that it is given, or the first for undefined; `next` is what the page before gave. */
  constructor(load: (after: Item | undefined, next: string | undefined) => Promise<PageSource<Item>>) {
    const page = async (after: Item | undefined, next?: string): Promise<Page<Item>> => {
      const source = await load(after, next);
      return new Page(source, () => page(source.items.at(-1), source.next));
    };
    this.#first = page(undefined);
  }

  then<A = Page<Item>, B = never>(
    onFulfilled?: ((value: Page<Item>) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#first.then(onFulfilled, onRejected);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Item> {
    yield* await this.#first;
  }
}
