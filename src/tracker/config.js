// Who this script reports to and what the page wants of it. The files of this folder are joined into one function by
// build.rs, in the order of its list, so a name declared in one of them is known in all that follow.

// An injected script is `currentScript` while it runs; the selector is for bundlers that run it later.
const script =
  document.currentScript ||
  document.querySelector('script[data-key],script[src*="/i.js"],script[src$=".2.js"],script[src$=".1.js"]');
const source = (script && script.src) || '';
const option = (name) => (script && script.getAttribute('data-' + name)) || '';

// KEY.2.js says the key by its name: some loaders say it nowhere else.
const file = /^(.*\/)(?:i|([^/?#]+)\.[12])\.js(?:[?#]|$)/.exec(source);
const key = option('key') || (file && file[2]) || window._kmk || '';

// Both scripts of the original snippet are this one: the first that has a key works, the other rests.
if (!key || (window.KM && window.KM.version)) return;

// The server stands where the script came from. Under a name of the operator's own that is the root of its host.
const host = (option('host') || (file ? file[1] : new URL('/', source || location.href).href)).replace(/\/+$/, '');

// Settings come as attributes of the script or, for pages whose snippet cannot have any, as globals.
const setting = (name, value, global) => option(name) === value || !!window[global];
const cookieless = setting('cookies', 'off', 'KM_COOKIELESS');
const ignoreSignals = setting('dnt', 'ignore', 'KM_IGNORE_DNT');
const needsConsent = setting('consent', 'required', 'KM_CONSENT');
const pageViews = setting('page-views', 'on', 'KM_PAGE_VIEWS') && !window.KM_SKIP_PAGE_VIEW;
