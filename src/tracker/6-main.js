// The KM object, the queue that pages push to, and the start.

// Whether the page's address fits a pattern: * stands for anything in the path, and each parameter in the pattern
// must be there with that value.
var pathOf = function (path) {
  return path.toLowerCase().replace(/\/(?:index|home)(?:\.\w+)?$/, '').replace(/\/+$/, '') || '/';
};

var urlMatches = function (pattern) {
  var wanted = urlParts(/^(?:[a-z]+:)?\/\//i.test(pattern) ? pattern : 'http://x' + (/^\//.test(pattern) ? '' : '/') + pattern);
  var page = urlParts(pageUrl());
  var parts = pathOf(wanted.path || '/').split('*').map(function (part) { return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'); });
  if (!new RegExp('^' + parts.join('.*') + '$').test(pathOf(page.path || '/'))) return false;
  for (var name in wanted.params) {
    var value = page.params[name];
    if (value === undefined || (wanted.params[name] !== '*' && value.toLowerCase() !== wanted.params[name].toLowerCase())) return false;
  }
  return true;
};

// A variant of a test, the same for this browser each time.
var ab = function (name, variants, done) {
  var seed = getCookie('abi');
  if (!seed) {
    seed = randomId();
    if (!refused()) remember('abi', seed);
  }
  var weights = {}, total = 0, sum = 0, chosen;
  if (Array.isArray(variants)) variants.forEach(function (v) { weights[v] = 1; }); else weights = variants;
  for (var w in weights) total += weights[w];
  for (var i = 0; i < seed.length; i++) sum += seed.charCodeAt(i);
  var place = (sum % 100) / 100 * total, upTo = 0;
  for (var v in weights) {
    upTo += weights[v];
    if (place < upTo) { chosen = v; break; }
  }
  var props = {};
  props[name] = chosen;
  set(props);
  if (typeof done === 'function') done(chosen);
  return chosen;
};

var KM = {
  whodid: 1,
  i: identity,
  ts: function () { return Math.floor(Date.now() / 1000); },
  ab: ab,
  um: urlMatches,
  urm: function (pattern) { return new RegExp(pattern).test(pageUrl()); },
  rf: referrer,
  u: pageUrl,
  uprts: urlParts,
  p: pairs,
  gc: getCookie,
  record: record,
  set: set,
  identify: identify,
  alias: alias,
  clearIdentity: clearIdentity,
  trackClick: trackClick,
  trackClickOnOutboundLink: trackOutbound,
  trackOutboundLink: trackOutbound,
  trackSubmit: trackSubmit,
  trackForm: trackSubmit,
  pageView: pageView,
  page: pageView,
  signedUp: planned('Signed Up'),
  upgraded: planned('Upgraded'),
  downgraded: planned('Downgraded'),
  billed: billed,
  canceled: canceled,
  cancelled: canceled,
  optOut: optOut,
  optIn: optIn
};

// A command is [method, arguments...] or a function. A mistake in one must not keep the others from running.
var run = function (command) {
  try {
    if (typeof command === 'function') command();
    else if (command && typeof KM[command[0]] === 'function') KM[command[0]].apply(KM, Array.prototype.slice.call(command, 1));
  } catch (e) {
    if (window.console) console.error('whodid:', e);
  }
};

var waiting = window._kmq || [];
window.KM = KM;
window._kmq = { push: function () { each(arguments, run); } };
each(['click', 'auxclick'], function (name) { document.addEventListener(name, onClick, true); });
document.addEventListener('submit', onSubmit, true);
document.addEventListener('visibilitychange', function () { if (document.visibilityState === 'hidden') leave(); });
window.addEventListener('pagehide', leave);
window.addEventListener('online', next);
watchAddress();
resend();
each(waiting, run);
run(automatic);
