// URLs and the encoding of the wire.

// A lone surrogate would make encodeURIComponent throw, and the record with it.
const encode = (value) => encodeURIComponent(String(value).replace(/[\ud800-\udfff]/gu, '\ufffd'));

// Properties as a query string: lists joined, what is neither text, number nor flag left out.
function query(properties) {
  const pairs = [];
  for (const name of Object.keys(properties || {})) {
    let value = properties[name];
    if (Array.isArray(value)) value = value.join(',');
    if (typeof value === 'function' || (value && typeof value === 'object')) continue;
    pairs.push(encode(name) + '=' + encode(value === null ? '' : value));
  }
  return pairs.join('&');
}

function parts(url) {
  const found = { scheme: '', host: '', port: '', path: '', query: '', params: {} };
  try {
    const parsed = new URL(url, location.href);
    found.scheme = parsed.protocol.replace(':', '');
    found.host = parsed.hostname;
    found.port = parsed.port;
    found.path = parsed.pathname;
    found.query = parsed.search.slice(1);
    parsed.searchParams.forEach((value, name) => (found.params[name] = value));
  } catch (e) {
    // What is no URL has no parts.
  }
  return found;
}

// Without values that let their reader in or tell who somebody is: a URL is sent as a property and kept.
const SECRETS =
  /([?&#;](?:[^?&#;=]*(?:token|password|passwd|pwd|secret|key|session|auth|e-?mail|kmi)|(?:[^?&#;=]*[_.-])?code)(?:\]|%5D)*=)[^&#;]*/gi;

function clean(url) {
  const text = url.replace(SECRETS, '$1');
  // The server refuses values of more than 8 KiB, and the whole record with them.
  return text.length > 2000 ? text.split(/[?#]/)[0].slice(0, 2000) : text;
}

const here = () => location.href;
const referrer = () => (window.KM_REFERRER === undefined ? document.referrer : window.KM_REFERRER) || '';
const bareHost = (url) => (url ? parts(url).host.replace(/^www\./, '') : '');
const seconds = () => Math.floor(Date.now() / 1000);

// A path without the endings that mean the same page.
const barePath = (path) => path.replace(/\/(?:index|home)[^/]*$/, '/').replace(/\/+$/, '');
const quoted = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const wild = (text) => new RegExp('^' + text.split('*').map(quoted).join('.*') + '$', 'i');

// Whether the page's URL is of a pattern: its path with wildcards, and at least the parameters of the pattern.
function matchesUrl(pattern) {
  const [path, wanted] = pattern.replace(/#.*$/, '').split('?');
  const own = parts(here());
  const bare = barePath(path.replace(/^(?:[a-z]+:)?\/\/[^/]*/i, '').toLowerCase());
  if (!wild(bare.replace(/^(?=[^/*])/, '/')).test(barePath(own.path.toLowerCase()))) return false;
  const given = Object.entries(own.params);
  for (const [name, value] of new URLSearchParams(wanted || '')) {
    const has = ([n, v]) => n.toLowerCase() === name.toLowerCase() && wild(value).test(v);
    if (!given.some(has)) return false;
  }
  return true;
}

const matchesPattern = (pattern) => new RegExp(pattern).test(here());
