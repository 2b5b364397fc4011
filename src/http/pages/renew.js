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
      var old = document.querySelector(part), fresh = page.querySelector(part);
      // The header is the same nearly always, and to lay it out again takes time.
      if (!old.isEqualNode(fresh)) old.replaceWith(fresh);
    });
    document.title = page.title;
    shown = url.pathname + url.search;
    document.querySelector('main').focus({preventScroll: true});
  }

  function ask(url, done) {
    if (asked) asked.abort();
    var own = asked = new AbortController();
    // Most answers are there sooner, and to dim what is shown would only keep the browser busy.
    var slow = setTimeout(function () { document.querySelector('main').setAttribute('aria-busy', 'true'); }, 200);
    // A form is answered at once that way, not sent to the address of its report first.
    fetch(url, {signal: own.signal, headers: {Prefer: 'return=representation'}}).then(function (reply) {
      var last = here(reply.headers.get('Content-Location') || reply.url);
      if (!last || !/^text\/html/.test(reply.headers.get('Content-Type'))) throw new Error('not to be shown here');
      return reply.text().then(function (text) {
        var page = new DOMParser().parseFromString(text, 'text/html');
        if (page.scripts.length !== 1) throw new Error('not to be shown here');
        last.hash = url.hash;
        clearTimeout(slow);
        if (own === asked) done(page, last);
      });
    }).catch(function () {
      clearTimeout(slow);
      if (own === asked) location.assign(url);
    });
  }

  // To the answer: it is at the top, but on a telephone below a form that fills the screen.
  function show() {
    scrollTo(0, 0);
    var form = document.querySelector('main form.builder');
    var answer = form && form.nextElementSibling;
    if (answer && answer.getBoundingClientRect().top > innerHeight / 2) answer.scrollIntoView();
  }

  function to(url, stay) {
    history.replaceState({y: scrollY}, '');
    ask(url, function (page, url) {
      if (url.href !== location.href) history.pushState({y: 0}, '', url);
      put(page, url);
      var place = url.hash && document.getElementById(url.hash.slice(1));
      if (place) place.scrollIntoView();
      else if (!stay) show();
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
    // A button with a name changes the form, which is gone on with.
    var edits = !!(button && button.name);
    if (edits) data.append(button.name, button.value);
    url.search = new URLSearchParams(data);
    event.preventDefault();
    to(url, edits);
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
