/** Makes an element; what stands in it is text or elements, and never markup. */
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function button(content, act, disabled = false) {
  const made = make('button', { type: 'button', disabled }, content);
  made.addEventListener('click', act);
  return made;
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

export const time = (text) => make('time', { dateTime: text, title: text }, moment.format(new Date(text)));

/** Beginning of an id; all of it when pointed at. */
export const shortId = (id) => make('code', { title: id }, `${id.slice(0, 8)}…`);

/** A table that scrolls by itself where it is too wide for the page; a sentence where there is nothing to show. */
export function table(caption, heads, rows) {
  if (rows.length === 0) return make('p', { className: 'empty' }, `${caption}: nothing`);
  const head = make('tr', {}, ...heads.map((text) => make('th', { scope: 'col' }, text)));
  const body = rows.map((cells) => make('tr', {}, ...cells.map((cell) => make('td', {}, cell))));
  return make(
    'div',
    { className: 'scroll', tabIndex: 0, role: 'region', ariaLabel: caption },
    make('table', {}, make('caption', {}, caption), make('thead', {}, head), make('tbody', {}, ...body)),
  );
}
