// Page views, also of sites that change their page without loading one.

let shown = '';

function pageView(name, properties) {
  const named = name && typeof name === 'object' ? name : { ...(name && { 'Page Name': name }), ...properties };
  const from = clean(shown || referrer());
  shown = here();
  record('Page View', { 'Viewed URL': clean(shown), Referrer: from || 'Direct', ...named });
}

// Routers replace the address by itself, and anchors move within a page: neither is a view.
function moved() {
  const page = (url) => url.split('#')[0];
  // A script of the site runs between the change and its title, and may redirect at once.
  setTimeout(() => shown && page(here()) !== page(shown) && pageView(), 0);
}

function followRoutes() {
  for (const name of ['pushState', 'replaceState']) {
    const original = history[name];
    history[name] = function (...args) {
      const result = original.apply(this, args);
      moved();
      return result;
    };
  }
  addEventListener('popstate', moved);
}
