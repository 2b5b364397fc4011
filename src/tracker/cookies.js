// First-party cookies, each `km_` and a short name. What the browser does not take is remembered for this page.

const YEARS = 157680000;
// Half an hour without anything ends a visit.
const VISIT_SECONDS = 1800;
const memory = {};
const dotted = location.hostname.replace(/^www\./, '');
// An address or a name without a dot has no domain to share.
const domain = window.KM_COOKIE_DOMAIN || (/\.[a-z][^.]*$/i.test(dotted) ? '.' + dotted : '');

function cookie(name) {
  try {
    const found = document.cookie.split('; ').find((pair) => pair.startsWith('km_' + name + '='));
    return found && decodeURIComponent(found.slice(name.length + 4));
  } catch (e) {
    // A frame without an origin may not look, and what others wrote may be badly encoded.
    return undefined;
  }
}

const get = (name) => cookie(name) || memory[name];

function writeCookie(name, value, age, where) {
  try {
    const secure = location.protocol === 'https:' ? ';secure' : '';
    document.cookie =
      'km_' + name + '=' + encode(value) + ';path=/;max-age=' + age + ';samesite=lax' + secure + where;
  } catch (e) {
    // The same frames may not write; `put` sees that nothing is there.
  }
}

function put(name, value, age) {
  // A choice has to outlast the page even where nothing else may.
  if (!cookieless || name === 'oo') {
    writeCookie(name, value, age, domain && ';domain=' + domain);
    // A browser refuses a domain that is everybody's.
    if (cookie(name) !== value) writeCookie(name, value, age, '');
    if (cookie(name) === value) return;
  }
  memory[name] = value;
}

function forget(name) {
  delete memory[name];
  if (cookie(name) === undefined) return;
  writeCookie(name, '', 0, domain && ';domain=' + domain);
  writeCookie(name, '', 0, '');
}
