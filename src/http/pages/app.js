// Keys: jumps between pages, periods, help. Pages work without it.
'use strict';
(function () {
  var help = document.getElementById('help');
  var jumping = false;

  // On a telephone the navigation is wider than the screen.
  var here = document.querySelector('header nav [aria-current]');
  if (here) here.parentNode.scrollLeft = here.offsetLeft - here.parentNode.clientWidth / 3;

  function follow(selector) {
    var link = document.querySelector(selector);
    if (link) link.click();
    return !!link;
  }

  function act(key) {
    if (jumping) {
      jumping = false;
      return follow('[data-jump="' + CSS.escape(key) + '"]');
    }
    if (key === 'g') {
      jumping = true;
      setTimeout(function () { jumping = false; }, 1500);
      return true;
    }
    if (key === '?') {
      help.showModal();
      return true;
    }
    if (key === '/' || key === 'c') {
      var field = document.querySelector(key === '/' ? 'main input:not([type=hidden])' : 'main input[name=from]');
      if (field) field.focus();
      return !!field;
    }
    if (key === 'i') {
      var unit = document.querySelector('main select[name=unit], main select[name=bucket], main select[name=over]');
      if (!unit) return false;
      unit.selectedIndex = (unit.selectedIndex + 1) % unit.options.length;
      unit.form.requestSubmit();
      return true;
    }
    if (key === 'Escape') {
      var filters = document.querySelectorAll('ul.chips[aria-label="Filters"] a');
      if (filters.length) {
        var rest = new URLSearchParams(location.search);
        rest.delete('people');
        renew(new URL('?' + rest, location.href));
      }
      return filters.length > 0;
    }
    return follow('[data-key="' + CSS.escape(key) + '"]');
  }

  // While a search is built: how many people it finds, as the page itself would say.
  var timer, asked = 0;
  function count(search) {
    var own = ++asked;
    fetch(search.getAttribute('action') + '?' + new URLSearchParams(new FormData(search))).then(function (reply) { return reply.text(); }).then(function (text) {
      if (own !== asked || !search.isConnected) return;
      var page = new DOMParser().parseFromString(text, 'text/html');
      var total = page.querySelector('.total'), problem = page.querySelector('.problem');
      document.getElementById('count').textContent = total ? total.textContent + ' with this' : problem ? problem.textContent : '';
    });
  }
  document.addEventListener('input', function (event) {
    if (!event.target.closest('form[role=search]')) return;
    clearTimeout(timer);
    timer = setTimeout(count, 250, event.target.form);
  });

  document.addEventListener('keydown', function (event) {
    var typing = event.target.closest('input, select, textarea, dialog[open]');
    if (typing || event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.key.indexOf('Arrow') === 0 && event.target.closest('.scroll, pre')) return;
    if (act(event.key.length === 1 ? event.key.toLowerCase() : event.key)) event.preventDefault();
  });
})();
