// Refining what a page shows renews it in place, without loading the frame around it again. Other pages are loaded.
'use strict';

// Shows the page of this path at `url`. Whatever cannot be shown in place is loaded.
var renew = (function () {
  var shown = location.pathname + location.search;
  var asked;
  // Live and the like have scripts of their own, which would have to end and begin.
  var able = document.scripts.length === 1;

  function here(address) {
    var url = new URL(address, location.href);
    return able && url.origin === location.origin && url.pathname === location.pathname ? url : null;
  }

  function put(page, url) {
    ['header', 'main'].forEach(function (part) {
      document.querySelector(part).replaceWith(page.querySelector(part));
    });
    document.title = page.title;
    shown = url.pathname + url.search;
    document.dispatchEvent(new Event('renewed'));
    document.querySelector('main').focus({preventScroll: true});
  }

  function ask(url, done) {
    if (asked) asked.abort();
    var own = asked = new AbortController();
    document.querySelector('main').setAttribute('aria-busy', 'true');
    fetch(url, {signal: own.signal}).then(function (reply) {
      var last = here(reply.url);
      if (!last || !/^text\/html/.test(reply.headers.get('Content-Type'))) throw new Error('not to be shown here');
      return reply.text().then(function (text) {
        var page = new DOMParser().parseFromString(text, 'text/html');
        if (page.scripts.length !== 1) throw new Error('not to be shown here');
        last.hash = url.hash;
        if (own === asked) done(page, last);
      });
    }).catch(function () {
      if (own === asked) location.assign(url);
    });
  }

  function to(url) {
    ask(url, function (page, url) {
      history.replaceState({y: scrollY}, '');
      if (url.href !== location.href) history.pushState({y: 0}, '', url);
      put(page, url);
      var place = url.hash && document.getElementById(url.hash.slice(1));
      if (place) place.scrollIntoView();
      else scrollTo(0, 0);
    });
  }

  document.addEventListener('click', function (event) {
    var link = event.target.closest('a[href]');
    var plain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute('download')) return;
    var url = here(link.href);
    if (!url || url.pathname + url.search === shown) return;
    event.preventDefault();
    to(url);
  });

  document.addEventListener('submit', function (event) {
    var form = event.target, button = event.submitter;
    if (event.defaultPrevented || form.getAttribute('method') !== 'get' || (button && button.hasAttribute('formaction'))) return;
    var url = here(form.getAttribute('action'));
    if (!url) return;
    var data = new FormData(form);
    if (button && button.name) data.append(button.name, button.value);
    url.search = new URLSearchParams(data);
    event.preventDefault();
    to(url);
  });

  addEventListener('popstate', function (event) {
    if (location.pathname + location.search === shown) return;
    var y = event.state ? event.state.y : 0;
    ask(new URL(location.href), function (page, url) {
      put(page, url);
      scrollTo(0, y);
    });
  });

  return to;
})();
