// What is recorded without being asked for: visits, where they came from, tagged links, page views.

var VISIT = 1800;
var ENGINES = [
  [/(^|\.)google\.[a-z.]+$/, 'Google', 'q'], [/(^|\.)bing\.com$/, 'Bing', 'q'], [/(^|\.)yahoo\.[a-z.]+$/, 'Yahoo', 'p'],
  [/(^|\.)duckduckgo\.com$/, 'DuckDuckGo', 'q'], [/(^|\.)ecosia\.org$/, 'Ecosia', 'q'], [/(^|\.)baidu\.com$/, 'Baidu', 'wd'],
  [/(^|\.)yandex\.[a-z.]+$/, 'Yandex', 'text'], [/(^|\.)ask\.com$/, 'Ask', 'q'], [/^search\.aol\.com$/, 'AOL', 'q'],
  [/(^|\.)qwant\.com$/, 'Qwant', 'q'], [/(^|\.)startpage\.com$/, 'Startpage', 'query'], [/(^|\.)naver\.com$/, 'Naver', 'query'],
  [/^search\.brave\.com$/, 'Brave', 'q'], [/^search\.lycos\.com$/, 'Lycos', 'query']
];
var UTM = { source: 'Source', medium: 'Medium', campaign: 'Name', term: 'Terms', content: 'Content' };

// Links carry kme (an event), kmi (who) and km_NAME (properties).
var taggedLink = function () {
  var params = urlParts(pageUrl()).params, props = {};
  if (has(params.kmi)) identify(params.kmi);
  for (var name in params) {
    if (/^km/.test(name) && name !== 'kme' && name !== 'kmi') {
      var own = name.replace(/^km_?/, '');
      if (own) props[own] = params[name];
    }
  }
  if (has(params.kme)) record(params.kme, props); else set(props);
};

var visit = function () {
  var now = Math.floor(Date.now() / 1000), last = getCookie('lv'), active = getCookie('vs');
  if (!active && !off('VISITED_SITE')) {
    record('Visited Site', { URL: pageUrl(), Referrer: referrer() || 'Direct' });
  }
  if (last !== 'x' && !off('RETURNING')) {
    var returns = last ? now - last > VISIT : !!named();
    if (returns) set({ Returning: 1 });
    remember('lv', returns ? 'x' : now);
  }
  setCookie('vs', '1', VISIT);
};

var campaign = function () {
  var params = urlParts(pageUrl()).params, props = {}, any = false;
  for (var name in UTM) {
    if (has(params['utm_' + name])) { props['Campaign ' + UTM[name]] = params['utm_' + name]; any = true; }
  }
  if (has(params.gclid) && !any) {
    props = { 'Campaign Source': 'google', 'Campaign Medium': 'cpc' };
    any = true;
  }
  if (!any) return false;
  var event = copy(props);
  event.URL = pageUrl();
  record('Ad Campaign Hit', event);
  set(props);
  return true;
};

var origin = function () {
  var from = referrer(), host = bareHost(from);
  var paid = !off('UTM') && campaign();
  if (!from || host === bareHost(pageUrl())) return;
  if (!off('REFERRER')) set({ Referrer: from });
  if (paid || off('SEARCH_ENGINE')) return;
  ENGINES.some(function (engine) {
    if (!engine[0].test(host)) return false;
    var terms = urlParts(from).params[engine[2]];
    record('Search Engine Hit', { 'Search Engine': engine[1], 'Search Terms': has(terms) ? terms : 'Not Provided' });
    return true;
  });
};

// A page that changes its own address is a new page to its reader.
var watchAddress = function () {
  var address = function () { return location.pathname + location.search; };
  var last = address();
  var moved = function () {
    if (address() === last) return;
    last = address();
    setCookie('vs', '1', VISIT);
    if (wantsPageViews()) pageView();
  };
  each(['pushState', 'replaceState'], function (name) {
    var original = history[name];
    if (!original) return;
    history[name] = function () {
      var result = original.apply(this, arguments);
      moved();
      return result;
    };
  });
  window.addEventListener('popstate', moved);
};

var wantsPageViews = function () { return !!window.KM_PAGE_VIEW && !off('PAGE_VIEW'); };

var automatic = function () {
  if (refused()) return;
  if (!off('URL')) taggedLink();
  visit();
  origin();
  if (wantsPageViews()) pageView();
};
