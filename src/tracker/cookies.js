// First-party cookies, each `km_` and a short name. What the browser does not take is remembered for this page.

const YEARS = 157680000;
// Half an hour without anything ends a visit.
const VISIT_SECONDS = 1800;
const memory = {};
// Where a cookie may lie, the widest domain first and the host alone last. An address or a name without a dot has no
// domain to share.
const domains = [''];
if (/\.[a-z][^.]*$/i.test(location.hostname)) {
  const least = (window.KM_COOKIE_DOMAIN || '.').length;
  for (let rest = '.' + location.hostname; rest.length >= least; rest = rest.replace(/^\.[^.]+/, '')) {
    domains.unshift(';domain=' + rest);
  }
}
let reach;

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

function takes(where) {
  // Tabs try at the same time, so each has a name of its own.
  const name = 't' + Math.random();
  writeCookie(name, 1, 9, where);
  const found = cookie(name);
  writeCookie(name, '', 0, where);
  return found;
}

// On the widest domain that is not everybody's, which a browser refuses: all hosts of a site know the same visitor, and
// each can change and delete what another wrote. One of a narrower domain would hide it.
function write(name, value, age) {
  // Tried when there is something to write, since nothing is stored before.
  reach = reach || domains.slice(domains.findIndex(takes));
  for (const where of reach.slice(1)) writeCookie(name, '', 0, where);
  writeCookie(name, value, age, reach[0]);
}

function put(name, value, age) {
  // A choice has to outlast the page even where nothing else may.
  if (!cookieless || name === 'oo') {
    write(name, value, age);
    if (cookie(name) === value) return;
  }
  memory[name] = value;
}

function forget(name) {
  delete memory[name];
  if (cookie(name) !== undefined) write(name, '', 0);
}
