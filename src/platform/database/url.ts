/** The remark on modes that pg treats as verify-full today. */
const PROVEN = 'the connection is encrypted and the server must prove its identity, as with verify-full';
/** pg's sslmodes, with a remark on those whose effect differs from their name. */
const MODES: Record<string, string | undefined> = {
  disable: undefined,
  'verify-full': undefined,
  prefer: PROVEN,
  require: PROVEN,
  'verify-ca': PROVEN,
  'no-verify': 'the connection is encrypted, but the identity of the server is not verified',
};
const VALUES: Record<string, string[] | undefined> = {
  sslmode: Object.keys(MODES),
  sslnegotiation: ['postgres', 'direct'],
};
const PARAMETERS = [
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslnegotiation',
  'host',
  'port',
  'user',
  'options',
  'application_name',
];

/** A mistake in the query of a database's URL, which pg would ignore, as the end of a sentence. */
export function parameterFlaw(url: string): string | undefined {
  const { searchParams, hash } = new URL(url);
  if (hash !== '') return 'must be a URL in which a # is written %23';
  const seen = new Set<string>();
  for (const [name, value] of searchParams) {
    // A malformed name may be the rest of a password.
    const shown = /^\w{1,40}$/.test(name) ? name : 'with an unknown name';
    if (!PARAMETERS.includes(name)) return `must have no parameter ${shown}: known are ${PARAMETERS.join(', ')}`;
    if (seen.has(name)) return `must have ${name} only once`;
    seen.add(name);
    const values = VALUES[name];
    if (values && !values.includes(value)) return `must set ${name} to one of ${values.join(', ')}`;
  }
  return undefined;
}

/** The URL for pg, with verify-full for modes that pg treats alike: pg warns that it will change their meaning. */
export function urlForPg(url: string): string {
  const given = new URL(url);
  const mode = given.searchParams.get('sslmode');
  if (mode === null || MODES[mode] !== PROVEN) return url;
  given.searchParams.set('sslmode', 'verify-full');
  return given.href;
}

/** A remark on a URL's sslmode, if its effect differs from its name. */
export function remarkOnMode(url: string): string | undefined {
  const { host, searchParams } = new URL(url);
  const mode = searchParams.get('sslmode') ?? 'disable';
  return MODES[mode] && `sslmode=${mode} for the database at ${host}: ${MODES[mode]}.`;
}
