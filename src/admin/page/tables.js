// Collections, records and users, page by page.
import { read } from './api.js';
import { button, make, shortId, table, time } from './dom.js';

/** As many fields of records' data as have a column of their own. */
const MOST_FIELDS = 8;

const LISTS = {
  users: {
    title: 'Users',
    path: 'api/v1/users',
    filter: { name: 'email', label: 'Address begins with' },
    columns: () => ['Email', 'Name', 'Role', 'State', 'Created', 'Id'],
    cells: (user) => [
      user.email,
      user.name,
      badge(user.role),
      user.disabled ? badge('disabled') : 'active',
      time(user.createdAt),
      shortId(user.id),
    ],
  },
  collections: {
    title: 'Collections',
    path: 'api/v1/data',
    columns: () => ['Name', 'Visibility', 'Description', 'Owner', 'Changed'],
    cells: (collection) => [
      make('a', { href: `#collections/${collection.name}` }, collection.name),
      badge(collection.visibility),
      collection.description ?? '',
      shortId(collection.ownerId),
      time(collection.updatedAt),
    ],
  },
};

const recordsOf = (name) => ({
  title: name,
  parent: { href: '#collections', title: 'Collections' },
  path: `api/v1/data/${encodeURIComponent(name)}/records`,
  filter: { name: 'where', label: 'Data contains', placeholder: '{"to":"Oslo"}' },
  columns: (records) => ['Record', 'Occurred', ...fieldsOf(records)],
  cells: (record, records) => [
    recordButton(record),
    time(record.occurredAt),
    ...fieldsOf(records).map((field) => shown(record.data[field])),
  ],
});

/** The top-level fields of the records' data, in the order in which they are met. */
const fieldsOf = (records) => [...new Set(records.flatMap(({ data }) => Object.keys(data)))].slice(0, MOST_FIELDS);

function shown(value) {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : make('code', {}, JSON.stringify(value));
}

const badge = (text) => make('span', { className: `badge ${text}` }, text);

/** Opens a record as it is, with all that it holds. */
function recordButton(record) {
  const open = () => {
    const text = make('pre', {}, JSON.stringify(record, null, 2));
    const close = button('Close', () => dialog.close());
    const dialog = make('dialog', {}, make('h2', {}, `Record ${record.id}`), text, close);
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  };
  return Object.assign(button(shortId(record.id), open), { className: 'link' });
}

/** Shows a list in the view, which is told how it went: '#users', '#collections', '#collections/flights'. */
export function openList(view, [kind, name]) {
  const list = kind === 'collections' && name ? recordsOf(name) : LISTS[kind];
  const place = make('div');
  const tell = (event, detail) => view.dispatchEvent(new CustomEvent(event, { detail }));

  /** @param cursors of the pages up to the wanted one: the first has none */
  async function show(filter = {}, cursors = [undefined]) {
    const cursor = cursors.at(-1);
    try {
      const { items, nextCursor } = await read(list.path, { limit: 20, ...filter, ...(cursor && { cursor }) });
      const rows = items.map((item) => list.cells(item, items));
      const turn = (text, isPossible, to) => button(text, () => show(filter, to), !isPossible);
      const pager = make(
        'div',
        { className: 'pager' },
        turn('Previous', cursors.length > 1, cursors.slice(0, -1)),
        make('span', {}, `Page ${cursors.length}`),
        turn('Next', nextCursor !== null, [...cursors, nextCursor]),
      );
      place.replaceChildren(table(list.title, list.columns(items), rows), pager);
      tell('answered');
    } catch (error) {
      tell('refused', error);
    }
  }

  const back = list.parent && make('a', { href: list.parent.href, className: 'back' }, list.parent.title);
  const filter = list.filter && filterForm(list.filter, show);
  view.replaceChildren(make('section', { className: 'card list' }, back, make('h2', {}, list.title), filter, place));
  show();
}

function filterForm({ name, label, placeholder = '' }, choose) {
  const input = make('input', { name, placeholder, type: 'search' });
  const submit = make('button', { type: 'submit' }, 'Show');
  const form = make('form', { className: 'filter' }, make('label', {}, `${label} `, input), submit);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    choose(input.value ? { [name]: input.value } : {});
  });
  return form;
}
