// What pages call: events, properties, and the events that every subscription business has.

const later = (done) => typeof done === 'function' && setTimeout(done, 0);

function person(properties) {
  return properties && properties._p ? properties._p : current();
}

function record(name, properties, done) {
  if (name && typeof name === 'object') return set(name, properties);
  if (typeof properties === 'function') return record(name, null, properties);
  if (!name) return set(properties, done);
  if (off()) return later(done);
  post('/e', properties, { _n: name, _p: person(properties) }, done);
}

function set(properties, done) {
  const empty = !properties || !Object.keys(properties).some((name) => name[0] !== '_');
  if (empty || off()) return later(done);
  post('/s', properties, { _p: person(properties) }, done);
}

function filled(properties, more) {
  const kept = {};
  for (const [name, value] of Object.entries(properties)) {
    if (value !== undefined && value !== null && value !== '') kept[name] = value;
  }
  return { ...kept, ...more };
}

// The plan may be left out: `signedUp({...})`.
const plan = (event) => (name, properties) =>
  name && typeof name === 'object'
    ? record(event, name)
    : record(event, filled({ 'Plan Name': name }, properties));

const signedUp = plan('Signed Up');
const upgraded = plan('Upgraded');
const downgraded = plan('Downgraded');
const canceled = (properties) => record('Canceled', properties);
const billed = (amount, description, properties) =>
  record('Billed', filled({ 'Billing Amount': amount, 'Billing Description': description }, properties));

// FNV-1a over seed and name: the same browser always gets the same variant, and two tests do not share their halves.
function share(text) {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 13)) >>> 0) / 4294967296;
}

function ab(name, variants, done) {
  const weights = Array.isArray(variants) ? variants.map((v) => [v, 1]) : Object.entries(variants);
  if (!off() && !get('abi')) put('abi', random(21), YEARS);
  let left = share(get('abi') + name) * weights.reduce((sum, [, weight]) => sum + +weight, 0);
  const chosen = weights.find(([, weight]) => (left -= weight) < 0) || weights[0];
  set({ [name]: chosen[0] });
  if (done) done(chosen[0]);
  return chosen[0];
}
