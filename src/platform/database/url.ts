/** Modes that pg takes for verify-full today, and what is to be said of them. */
const PROVEN = 'the connection is encrypted and the server must prove its name, as with verify-full';
/** How the connection is kept from others: pg's words, and what those mean here that do not say it. */
const MODES: Record<string, string | undefined> = {
  disable: undefined,
  'verify-full': undefined,
  prefer: PROVEN,
  require: PROVEN,
  'verify-ca': PROVEN,
  'no-verify': 'the connection is encrypted, but whoever answers is believed to be the server',
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

/** What is wrong with what stands behind the `?` of a database's URL, as the end of a sentence; pg would pass over it. */
export function parameterFlaw(url: string): string | undefined {
  const { searchParams, hash } = new URL(url);
  if (hash !== '') return 'must be a URL in which a # is written %23';
  const seen = new Set<string>();
  for (const [name, value] of searchParams) {
    // What is no name may be the rest of a password.
    const shown = /^\w{1,40}$/.test(name) ? name : 'of that name';
    if (!PARAMETERS.includes(name)) return `must have no parameter ${shown}: there are ${PARAMETERS.join(', ')}`;
    if (seen.has(name)) return `must have ${name} only once`;
    seen.add(name);
    const values = VALUES[name];
    if (values && !values.includes(value)) return `must have as ${name} one of ${values.join(', ')}`;
  }
  return undefined;
}

/** The URL for pg, which warns of the modes that it means to take in another way one day: said in the words of today. */
export function urlForPg(url: string): string {
  const given = new URL(url);
  const mode = given.searchParams.get('sslmode');
  if (mode === null || MODES[mode] !== PROVEN) return url;
  given.searchParams.set('sslmode', 'verify-full');
  return given.href;
}

/** What is to be said of a URL's sslmode, unless that says it itself. */
export function remarkOnMode(url: string): string | undefined {
  const { host, searchParams } = new URL(url);
  const mode = searchParams.get('sslmode') ?? 'disable';
  return MODES[mode] && `sslmode=${mode} for the database at ${host}: ${MODES[mode]}.`;
}
