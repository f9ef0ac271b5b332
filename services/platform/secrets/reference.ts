/** A secret by reference: the address of a value in a secret manager, written where the value would stand. */

export type ReferenceScheme = 'vault' | 'aws-sm';

export interface SecretReference {
  readonly scheme: ReferenceScheme;
  /** As the adapter takes it: `mount/path#field`, `secret id#field`. */
  readonly name: string;
}

const FORM = /^(vault|aws-sm):\/\/(.+)$/s;

export const isReference = (text: string): boolean => FORM.test(text);

/** How each is written, for messages. */
const REFERENCE_FORMS: Readonly<Record<ReferenceScheme, string>> = {
  vault: 'vault://<mount>/<path>#<field>',
  'aws-sm': 'aws-sm://<secret id or ARN>[#<field of its JSON>]',
};

/** @throws Error that says what is missing; a reference is no secret, so it is repeated. */
export function parseReference(text: string): SecretReference {
  const [, scheme, name] = FORM.exec(text) as unknown as [string, ReferenceScheme, string];
  const [place, field, ...more] = name.split('#');
  const isComplete = scheme === 'vault' ? /^[^/]+\/.*[^/]$/.test(place!) && field !== undefined && field !== '' : place !== '' && field !== '';
  if (!isComplete || more.length > 0 || /[\s\0]/.test(name)) throw new Error(`${text} is not of the form ${REFERENCE_FORMS[scheme]}`);
  return { scheme, name };
}
