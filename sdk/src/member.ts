/** What openapi-fetch answers. */
interface Answer<Data> {
  readonly data?: Data | undefined;
  readonly error?: unknown;
  readonly response: Response;
}

/** Takes one member out of its envelope and leaves the rest of the answer as it is. */
export function member<Value>(answer: Answer<unknown>, name: string): Answer<Value> {
  const data = answer.data as Readonly<Record<string, unknown>> | undefined;
  return { data: data?.[name] as Value | undefined, error: answer.error, response: answer.response };
}

/** The answer as it is, with the cursor left to the caller. */
export function whole<Value>(answer: Answer<unknown>): Answer<Value> {
  return { data: answer.data as Value | undefined, error: answer.error, response: answer.response };
}

/** Query members that were given, with the cursor of a further page. */
export function pageQuery<Query extends object>(query: Query, after: string | undefined): Query & { readonly after?: string } {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return { ...(Object.fromEntries(given) as Query), ...(after !== undefined && { after }) };
}
