// The page for admins: who is signed in, and which view is shown.
import { isSignedIn, signIn, signOut, whoAmI } from './api.js';
import { openLive } from './live.js';
import { openList } from './tables.js';

const find = (id) => document.getElementById(id);
const [view, form, notice] = ['view', 'sign-in', 'notice'].map(find);

let stop;

function say(text = '') {
  notice.textContent = text;
  notice.hidden = text === '';
}

/** Shows what the address says behind its #, to who is signed in. */
function show() {
  stop?.();
  stop = undefined;
  view.replaceChildren();
  say();
  form.hidden = isSignedIn();
  for (const id of ['views', 'account']) find(id).hidden = !isSignedIn();
  if (!isSignedIn()) return form.elements.email.focus();
  const [kind, ...rest] = location.hash.slice(1).split('/');
  const isList = kind === 'users' || kind === 'collections';
  for (const link of find('views').children) {
    if (link.hash === `#${isList ? kind : 'live'}`) link.ariaCurrent = 'page';
    else link.removeAttribute('aria-current');
  }
  if (isList) openList(view, [kind, ...rest]);
  else stop = openLive(view);
}

async function start() {
  try {
    if (isSignedIn()) find('email').textContent = (await whoAmI()).email;
  } catch (error) {
    if (error.status !== 401) return say(error.message);
  }
  show();
}

view.addEventListener('refused', ({ detail: error }) => {
  if (error.status === 401) show();
  say(error.status === 401 ? 'The session has ended: sign in again.' : error.message);
});
view.addEventListener('answered', () => say());

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { email, password } = form.elements;
  try {
    await signIn(email.value, password.value);
    password.value = '';
    await start();
  } catch (error) {
    say(error.message);
  }
});

find('sign-out').addEventListener('click', async () => {
  await signOut();
  show();
});

window.addEventListener('hashchange', show);
start();
