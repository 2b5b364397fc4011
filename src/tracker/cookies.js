// First-party cookies, each `km_` and a short name. What the browser does not take is remembered for this page.

const YEARS = 157680000;
// Half an hour without anything ends a visit.
const VISIT_SECONDS = 1800;
const memory = {};
const dotted = location.hostname.replace(/^www\./, '');
// Where a cookie may lie: the domain of its own first, the wider ones, and the host alone. An address or a name without
// a dot has no domain to share.
const reach = [''];
if (/\.[a-z][^.]*$/i.test(dotted)) {
  for (let rest = dotted; rest.includes('.'); rest = rest.replace(/^[^.]+\./, '')) {
    reach.splice(-1, 0, ';domain=.' + rest);
  }
}
if (window.KM_COOKIE_DOMAIN) reach.unshift(';domain=' + window.KM_COOKIE_DOMAIN);

function cookies(name) {
  try {
    return document.cookie.split('; ').filter((pair) => pair.startsWith('km_' + name + '='));
  } catch (e) {
    // A frame without an origin may not look.
    return [];
  }
}

function cookie(name) {
  try {
    const [found] = cookies(name);
    return found && decodeURIComponent(found.slice(name.length + 4));
  } catch (e) {
    // What others wrote may be badly encoded.
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
    // One that lies on a wider domain is another host's of the same site, which is to see the change: it is changed where
    // it lies. Where a browser refuses a domain, which is everybody's, the host alone is left.
    for (const where of reach) {
      writeCookie(name, value, age, where);
      const { length } = cookies(name);
      if (length === 1 && cookie(name) === value) return;
      if (length) writeCookie(name, '', 0, where);
    }
  }
  memory[name] = value;
}

function forget(name) {
  delete memory[name];
  if (cookie(name) !== undefined) reach.forEach((where) => writeCookie(name, '', 0, where));
}
