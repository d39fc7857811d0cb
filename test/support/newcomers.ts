import { must } from './answers.js';
import type { Client } from './client.js';

let users = 0;

/** Registers and signs in a new user at each call, at this client's app. */
export function newcomers(anyone: Client): () => Promise<Client> {
  return async () => {
    const credentials = { email: `user${++users}@example.com`, password: 'a-password-of-a-user' };
    must(201, await anyone.post('/api/v1/auth/register', { ...credentials, name: 'U' }));
    return anyone.signIn(credentials.email, credentials.password);
  };
}
