// Who the visitor is, and what is said of them.

var NOBODY = /^(?:|null|nil|'null'|'nil'|"null"|"nil"|''|"")$/;

var named = function () { return getCookie('ni'); };

var anonymous = function () {
  var id = getCookie('ai');
  if (!id) remember('ai', id = randomId());
  return id;
};

var identity = function () {
  // Who is not to be followed gets no cookie either.
  if (refused()) return '';
  if (has(window.KMCID) && !named()) return text(window.KMCID);
  return named() || anonymous();
};

var record = function (name, props, done) {
  if (typeof props === 'function') { done = props; props = {}; }
  if (name && typeof name === 'object') { done = props; props = name; name = null; }
  if (!has(name)) return set(props, done);
  var all = copy(props);
  all._n = name;
  if (!has(all._p)) all._p = identity();
  send('e', all, typeof done === 'function' ? done : nothing);
};

var set = function (props, done) {
  var any = false;
  for (var name in props) any = any || name !== '_p';
  if (!any) return;
  var all = copy(props);
  if (!has(all._p)) all._p = identity();
  send('s', all, typeof done === 'function' ? done : nothing);
};

var alias = function (a, b) {
  if (has(a) && has(b) && text(a) !== text(b)) send('a', { _n: a, _p: b });
};

// The first name that a browser gets joins what its visitor did before. A second name is another person.
var identify = function (id) {
  id = text(id === undefined ? null : id);
  if (NOBODY.test(id)) return clearIdentity();
  if (refused()) return;
  var before = named(), visitor = getCookie('ai');
  if (id === before) return;
  remember('ni', id);
  if (before) forget('ai');
  else if (visitor) alias(id, visitor);
};

var clearIdentity = function () {
  if (!named()) return;
  forget('ni');
  forget('ai');
};

var optOut = function () {
  each(['ai', 'ni', 'lv', 'vs', 'abi'], forget);
  queue = [];
  keep([]);
  remember('out', '1');
};

var optIn = function () { forget('out'); };

var pageView = function () {
  record('Page View', { 'Viewed URL': pageUrl(), Referrer: referrer() || 'Direct' });
};

var filled = function (props) {
  var out = {};
  for (var name in props) if (has(props[name])) out[name] = props[name];
  return out;
};

// A plan, or properties, or both.
var planned = function (name) {
  return function (plan, props) {
    if (plan && typeof plan === 'object') { props = plan; plan = ''; }
    var all = copy(props);
    all['Plan Name'] = plan;
    record(name, filled(all));
  };
};

var billed = function (amount, description, props) {
  if (description && typeof description === 'object') { props = description; description = ''; }
  var all = copy(props);
  all['Billing Amount'] = amount;
  all['Billing Description'] = description;
  record('Billed', filled(all));
};

var canceled = function (props) { record('Canceled', filled(props)); };
