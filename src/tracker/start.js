// The names that pages know, and the start.

const KM = {
  version: 'WHODID_VERSION',
  i: current,
  ts: seconds,
  u: here,
  rf: referrer,
  um: matchesUrl,
  urm: matchesPattern,
  uprts: parts,
  p: query,
  gc: get,
  ab,
  record,
  set,
  identify,
  alias,
  clearIdentity,
  trackClick,
  trackClickOnOutboundLink,
  trackSubmit,
  trackForm: trackSubmit,
  pageView,
  page: pageView,
  signedUp,
  upgraded,
  downgraded,
  billed,
  canceled,
  cancelled: canceled,
  optOut,
  optIn,
  isOptedOut: off,
};

function run(item) {
  try {
    if (typeof item === 'function') item();
    else if (item && Object.prototype.hasOwnProperty.call(KM, item[0]) && item[0] !== 'version') {
      KM[item[0]](...Array.from(item).slice(1));
    }
  } catch (e) {
    // The page's mistake is shown in its console, and the next command still runs.
    setTimeout(() => {
      throw e;
    }, 0);
  }
}

function start() {
  listen();
  if (pageViews) followRoutes();
  // Commands of the page first: they may say who the visitor is, or that nothing is to be recorded.
  const commands = window._kmq;
  window._kmq = { push: (...items) => items.forEach(run) };
  if (Array.isArray(commands)) commands.forEach(run);
  due = true;
  arrive();
  resume();
}

window.KM = KM;
// A page that the browser only prepares has not been visited yet.
if (document.prerendering) document.addEventListener('prerenderingchange', start, { once: true });
else start();
