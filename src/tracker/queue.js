// Records on their way. Each lies in the storage of the site until the server has answered for it, so it survives a
// server that is down, a page that is left and a browser that is closed. It has an id of its own, and the server
// stores an id once, so whatever is in doubt is sent again.

const PREFIX = 'kmq.' + key + '.';
const KEPT_MS = 7 * 86400000;
const KEPT_MAX = 500;
const PATIENCE_MS = 15000;
// Statuses that another try will not change.
const HOPELESS = [400, 411, 413, 414, 415, 422, 431];
const unstored = {};
const callbacks = {};
const tooLong = {};
const forbidden = {};
let turns = 0;
let handedOver = {};
let latest = 0;
let busy = '';
let failures = 0;
let timer = 0;

const storage = (() => {
  try {
    return cookieless ? null : window.localStorage;
  } catch (e) {
    return null;
  }
})();

// Three bytes are four characters, all of which a URL takes as they are.
const random = (bytes) =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(bytes)))).replace(/[+/]/g, '-');

// Names sort by time. No two records of a page have the same, so that their order is told by it.
function newName() {
  latest = Math.max(Date.now(), latest + 1);
  return PREFIX + latest.toString(36) + random(12);
}

const ageOf = (name) => Date.now() - parseInt(name.slice(PREFIX.length, -16), 36);

function waiting() {
  const names = Object.keys(unstored);
  for (let at = 0; storage && at < storage.length; at++) {
    const name = storage.key(at);
    if (name.startsWith(PREFIX)) names.push(name);
  }
  return names.sort();
}

function drop(name) {
  delete unstored[name];
  if (storage) storage.removeItem(name);
}

function post(path, properties, required, done) {
  const name = newName();
  // A visit that goes on; one begins with a page only.
  if (get('vs')) put('vs', '1', VISIT_SECONDS);
  const given = properties || {};
  const own = { _k: key, _i: name.slice(PREFIX.length) };
  if (given._d != 1) own._t = latest / 1000;
  const line = path + '?' + query({ ...given, ...required, ...own });
  try {
    storage.setItem(name, line);
  } catch (e) {
    // There is no storage, or it is full.
    unstored[name] = line;
  }
  if (typeof done === 'function') {
    let called = false;
    callbacks[name] = () => called || (called = true) && done();
    // Pages go on in their callback, also when the server is not there.
    setTimeout(callbacks[name], 2000);
  }
  pump();
}

// The URL and the form of a record. Its age is told beside its time, since the visitor's clock may be wrong.
function request(name) {
  const line = unstored[name] || (storage && storage.getItem(name));
  const at = line ? line.indexOf('?') : -1;
  if (at < 0) return null;
  const age = ageOf(name);
  // Any other age is that of a clock which was set meanwhile, and says nothing.
  return [host + line.slice(0, at), line.slice(at + 1) + '&_o=' + (age > 0 && age < KEPT_MS ? age : 0)];
}

// What happened first arrives first. What turned out too long for an image lets the others pass, and so does what was forbidden
// last: there are firewalls that dislike what stands in one of them.
function next() {
  const turn = (name) => forbidden[name] || (tooLong[name] ? 1 : 0);
  return waiting().sort((a, b) => turn(a) - turn(b))[0];
}

// One after the other.
function pump() {
  if (busy || off()) return;
  const name = next();
  if (!name) return;
  busy = name;
  deliver(name).then((arrived) => {
    busy = '';
    clearTimeout(timer);
    if (arrived) {
      failures = 0;
      drop(name);
      if (callbacks[name]) callbacks[name]();
      delete callbacks[name];
    } else if (!tooLong[name] || tooLong[next()]) {
      timer = setTimeout(pump, Math.min(1000 * 2 ** failures++, 60000));
      return;
    }
    pump();
  });
}

// As an image where the page's policy or the browser allows nothing else. The request is made anew: its age has grown.
function image(name) {
  return new Promise((resolve) => {
    const url = (request(name) || []).join('?');
    tooLong[name] = url.length > 7000;
    if (tooLong[name]) return resolve(false);
    const pixel = new Image(1, 1);
    pixel.onload = () => resolve(true);
    pixel.onerror = () => resolve(false);
    setTimeout(pixel.onerror, PATIENCE_MS);
    pixel.src = url;
  });
}

function deliver(name) {
  const parcel = request(name);
  // Another tab has delivered it, or it never was a record.
  if (!parcel) return Promise.resolve(true);
  if (!window.fetch) return image(name);
  const [url, body] = parcel;
  const patience = new AbortController();
  setTimeout(() => patience.abort(), PATIENCE_MS);
  const options = { method: 'POST', body, credentials: 'omit', signal: patience.signal };
  // Browsers take 64 KiB of these at once.
  options.keepalive = body.length < 30000;
  return fetch(url, options).then(
    ({ ok, status }) => {
      if (status == 403) forbidden[name] = ++turns;
      return ok || HOPELESS.includes(status);
    },
    () => image(name),
  );
}

// The page is left. Nobody will hear an answer, so what is handed over stays in the storage, to be asked about later.
function handOver() {
  if (!navigator.sendBeacon || off()) return;
  for (const name of waiting()) {
    const parcel = !handedOver[name] && name !== busy && request(name);
    if (parcel && navigator.sendBeacon(...parcel)) handedOver[name] = true;
  }
}

function resume() {
  const names = waiting();
  const old = names.filter((name) => !(ageOf(name) < KEPT_MS));
  [...old, ...names.slice(0, Math.max(0, names.length - KEPT_MAX))].forEach(drop);
  addEventListener('pagehide', handOver);
  addEventListener('online', pump);
  // A page that is shown again was not left.
  document.addEventListener('visibilitychange', () => (document.hidden ? handOver() : (handedOver = {})));
  pump();
}
