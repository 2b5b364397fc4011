// What is recorded without being asked for: visits, where they came from, and tagged links.

const CAMPAIGN = {
  utm_source: 'Campaign Source',
  utm_medium: 'Campaign Medium',
  utm_campaign: 'Campaign Name',
  utm_term: 'Campaign Terms',
  utm_content: 'Campaign Content',
};
// Only where people search: mail and maps of the same names are other sites.
const ENGINE =
  /^(?:www\.|m\.|(?:[\w-]+\.)*search\.)?(google|bing|yahoo|duckduckgo|ecosia|yandex|baidu|qwant|startpage|ask|aol|msn|live|naver|seznam|sogou|dogpile|lycos|altavista|netscape|a9|mojeek|swisscows|kagi|brave)\.[a-z.]{2,7}$/;
const TERMS = ['q', 'p', 'query', 'text', 'wd', 'word', 'k'];
// Before the page's own commands, which may name the visitor for the first time.
const namedBefore = get('ni');

// Tagged links: `kme` records, `kmi` identifies, any other `km` parameter is a property.
function taggedLink() {
  const { params } = parts(here());
  const properties = {};
  for (const name of Object.keys(params)) {
    const found = /^km(?![ei]$)_?(.+)$/.exec(name);
    if (found) properties[found[1]] = params[name];
  }
  // The plus of an id, which ids once had, comes as a space.
  if (params.kmi) identify(params.kmi.replace(/^[\w/ ]{27}=$/, (id) => id.replace(/ /g, '+')));
  if (params.kme) record(params.kme, properties);
  else set(properties);
}

function campaign(params) {
  const found = {};
  for (const name of Object.keys(CAMPAIGN)) {
    if (params[name]) found[CAMPAIGN[name]] = params[name];
  }
  // A click on one of Google's advertisements carries an id instead of tags.
  if (params.gclid && !Object.keys(found).length) return { 'Campaign Source': 'google', 'Campaign Medium': 'cpc' };
  return found;
}

// Whether an advertisement brought the visitor, whatever it is tagged with.
function isTagged(params) {
  return !!params.gclid || Object.keys(params).some((name) => /^utm_./.test(name) && params[name]);
}

function search(url) {
  const { host: name, params } = parts(url);
  const engine = url && ENGINE.exec(name);
  if (!engine) return null;
  const term = TERMS.map((parameter) => params[parameter]).find(Boolean);
  return {
    'Search Engine': engine[1][0].toUpperCase() + engine[1].slice(1),
    'Search Terms': term || 'Not Provided',
  };
}

// Whether the visitor was here before, once for each browser.
function returned() {
  const last = get('lv');
  if (last === 'x') return false;
  const again = last ? seconds() - last >= VISIT_SECONDS : !!namedBefore;
  put('lv', again ? 'x' : String(seconds()), YEARS);
  return again;
}

// A page that is shown again brings nobody anew.
function shownAgain() {
  const [entry] = (window.performance && performance.getEntriesByType('navigation')) || [];
  return !!entry && /reload|back/.test(entry.type);
}

// Once for each page: whoever opts out and in again does not arrive anew.
let due = false;

function arrive() {
  if (!due || off()) return;
  due = false;
  // Some browsers keep no cookie for long, so every page prolongs.
  ['ai', 'ni'].forEach((name) => get(name) && put(name, get(name), YEARS));
  if (!window.KM_SKIP_URL && !shownAgain()) taggedLink();
  const from = referrer();
  const foreign = bareHost(from) !== bareHost(here());
  const { params } = parts(here());
  const isVisit = !get('vs');
  put('vs', '1', VISIT_SECONDS);
  const hit = !window.KM_SKIP_UTM && !shownAgain() && isTagged(params);
  const ad = hit ? campaign(params) : {};
  const found = foreign && !params.gclid && !shownAgain() && !window.KM_SKIP_SEARCH_ENGINE && search(from);
  const about = { ...ad };
  if (returned() && !window.KM_SKIP_RETURNING) about.Returning = 1;
  if (foreign && (from || isVisit) && !window.KM_SKIP_REFERRER) about.Referrer = clean(from) || 'Direct';
  // Properties first: the person has them when the events happen.
  set(about);
  const url = clean(here());
  if (isVisit && !window.KM_SKIP_VISITED_SITE) record('Visited Site', { URL: url, Referrer: clean(from) || 'Direct' });
  if (found) record('Search Engine Hit', found);
  if (hit) record('Ad Campaign Hit', { ...ad, URL: url });
  if (pageViews) pageView();
}
