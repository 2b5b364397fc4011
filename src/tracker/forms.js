// Submitted forms: an event with the fields as properties, but for what nobody should collect.

const submits = [];
const trackSubmit = watch(submits);

const TAKEN = /^(?:text|email|radio|checkbox|select-one|select-multiple)$/;
const NEVER =
  /pass|pwd|billing|bank|iban|card|\bcc|ccnum|exp|seccode|security|cvc|cvv|\bpin(?:code|n[our])|pin\b|ssn|socialsec|socsec|csc/i;

// Whether a field is one to take, by type, name and what the page says of it.
function taken(field, bare) {
  const { type, classList } = field;
  // A leading underscore means something else on the wire.
  if (!bare || field.name[0] === '_' || NEVER.test(bare) || type === 'password') return false;
  if (classList.contains('km_ignore') || (/radio|checkbox/.test(type) && !field.checked)) return false;
  return TAKEN.test(type) || classList.contains('km_include');
}

function fieldsOf(form) {
  const properties = {};
  const lists = {};
  let who = '';
  for (const field of own(form, 'elements')) {
    const given = field.name || '';
    const bare = given.replace(/[_-]/g, '');
    if (!taken(field, bare)) continue;
    const { value, type } = field;
    const name = given.replace(/\[\]$/, '').replace(/\[([^\]]*)\]/g, '_$1');
    if (given.endsWith('[]') || type === 'select-multiple') {
      const several = field.selectedOptions ? [...field.selectedOptions].map((o) => o.value) : [value];
      lists[name] = (lists[name] || []).concat(several);
    } else {
      properties[name] = value;
    }
    const names = /userid|login|username/i.test(bare) || (/email/i.test(bare) && value.includes('@'));
    if (!who && names && /^(?:text|email)$/.test(type)) who = value;
  }
  for (const name of Object.keys(lists)) properties[name] = lists[name].sort().join(',');
  return [properties, who];
}

function submitted(form, name, properties) {
  const [fields, who] = window.KM_SKIP_FORM_FIELDS ? [{}, ''] : fieldsOf(form);
  if (who && !off() && !get('ni')) identify(who);
  record(name, { ...fields, ...properties });
}

function onSubmit(event) {
  const form = event.target;
  for (const [what, name, properties] of submits) {
    if (inside(form, what)) submitted(form, name, properties);
  }
  const marked = attribute(form, 'data-km-event');
  if (marked) submitted(form, marked, declared(form));
}

function listen() {
  const on = (type, handler) => document.addEventListener(type, handler, true);
  on('mousedown', onPress);
  on('click', onPress);
  on('click', onLeave);
  on('auxclick', onLeave);
  on('submit', onSubmit);
}
