// Clicks and forms. One listener for the page hears them all, so elements that are added later count too.

var clicks = [];
var submits = [];

// An element's id with or without #, or any CSS selector, or the element itself.
var meets = function (element, wanted) {
  if (typeof wanted !== 'string') return element === wanted;
  if (/^[\w-]+$/.test(wanted)) return element.id === wanted;
  if (wanted.charAt(0) === '#' && element.id === wanted.slice(1)) return true;
  try { return element.matches(wanted); } catch (e) { return element.id === wanted; }
};

// Calls `visit` with the nearest element, from where the event was, that each of the wanted ones meets.
var heard = function (list, event, visit) {
  list.forEach(function (one) {
    for (var element = event.target; element && element.nodeType === 1; element = element.parentNode) {
      if (meets(element, one.wanted)) return visit(one, element);
    }
  });
};

var trackClick = function (wanted, name, props) { clicks.push({ wanted: wanted, name: name, props: props }); };
var trackOutbound = function (wanted, name, props) { clicks.push({ wanted: wanted, name: name, props: props, out: 1 }); };
var trackSubmit = function (wanted, name, props) { submits.push({ wanted: wanted, name: name, props: props }); };

var onClick = function (event) {
  // Of the other buttons only the middle one follows a link.
  if (event.type === 'auxclick' && event.button !== 1) return;
  heard(clicks, event, function (one, element) {
    record(one.name, one.props);
    var plainClick = !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey && event.button === 0;
    if (one.out && !navigator.sendBeacon && element.href && !element.target && plainClick) {
      event.preventDefault();
      setTimeout(function () { location.href = element.href; }, 250);
    }
  });
  var marked = event.target.closest && event.target.closest('[data-km-event]');
  if (marked && marked.tagName !== 'FORM') recordMarked(marked);
};

var recordMarked = function (element, more) {
  var props = more || {}, own = element.getAttribute('data-km-props');
  try { if (own) props = Object.assign(props, JSON.parse(own)); } catch (e) { /* The event still counts. */ }
  record(element.getAttribute('data-km-event'), props);
};

var onSubmit = function (event) {
  var form = event.target;
  heard(submits, event, function (one, element) {
    record(one.name, Object.assign(fields(element.tagName === 'FORM' ? element : form), one.props));
  });
  if (form.hasAttribute && form.hasAttribute('data-km-event')) recordMarked(form, fields(form));
};

var SECRET = /pass|billing|creditcard|cardnum|^cc|ccnum|exp|seccode|securitycode|securitynum|cvc|cvv|ssn|socialsec|socsec|csc/i;
var WHO = /userid|login|username|email/i;
var TEXTS = /^(?:text|email|tel|url|search|number)$/;

// The fields of a form that may be known, by name. One that names its user identifies an unknown visitor.
var fields = function (form) {
  var out = {}, lists = {};
  if (off('FORM_FIELDS')) return out;
  each(form.elements, function (field) {
    var include = field.classList.contains('km_include');
    var tag = field.tagName, type = field.type, name = field.name;
    var chosen = type === 'radio' || type === 'checkbox';
    var known = tag === 'SELECT' || (tag === 'INPUT' && (chosen || TEXTS.test(type)));
    if (!name || !(known || include) || field.classList.contains('km_ignore') || (chosen && !field.checked)) return;
    if (!include && SECRET.test(name.replace(/[_-]/g, ''))) return;
    var value = field.value;
    if (/\[\]$/.test(name)) {
      name = name.slice(0, -2);
      (lists[name] = lists[name] || []).push(value);
      return;
    }
    name = name.replace(/\[(.*?)\]/g, '_$1');
    if (WHO.test(name.replace(/[_-]/g, '')) && has(value) && !named()) identify(value);
    out[name] = value;
  });
  for (var name in lists) out[name.replace(/\[(.*?)\]/g, '_$1')] = lists[name].sort().join(',');
  return out;
};
