// Clicks on elements. The document listens, so elements that appear later count as well.

const clicks = [];
const outbound = [];
let pressed = 0;

// The element that `what` (an id with or without #, a selector, or an element) stands for, if `target` is in it.
function inside(target, what) {
  if (!target || !target.closest || !what) return null;
  const element = typeof what === 'string' ? document.getElementById(what.replace(/^#/, '')) : what;
  if (element) return element.contains && element.contains(target) ? element : null;
  try {
    return target.closest(what);
  } catch (e) {
    // An id that is no selector, of an element that is not there yet.
    return null;
  }
}

// A field of a form may be called like a member of it, which it then hides.
const own = (element, member) => Reflect.get(HTMLFormElement.prototype, member, element);
const attribute = (element, name) => own(element, 'getAttribute').call(element, name);

// `data-km-props='{"Plan":"Pro"}'`, and `data-km-prop-plan="Pro"` for one.
function declared(element) {
  let properties = {};
  try {
    properties = JSON.parse(attribute(element, 'data-km-props') || '{}');
  } catch (e) {
    console.warn('data-km-props is no JSON', element);
  }
  for (const { name, value } of own(element, 'attributes')) {
    if (name.startsWith('data-km-prop-')) properties[name.slice(13)] = value;
  }
  return properties;
}

// On the press, since a click may leave the page; a click without one came from the keyboard.
function onPress(event) {
  const press = event.type === 'mousedown';
  if (press ? event.button > 1 : event.detail || Date.now() - pressed < 500) return;
  pressed = press ? Date.now() : pressed;
  for (const [what, name, properties] of clicks) {
    if (inside(event.target, what)) record(name, properties);
  }
  const marked = event.target.closest && event.target.closest('[data-km-event]');
  if (marked && marked.tagName !== 'FORM') record(attribute(marked, 'data-km-event'), declared(marked));
}

function onLeave(event) {
  for (const [what, name, properties] of outbound) {
    if (!inside(event.target, what) || event.button > 1) continue;
    record(name, properties);
    const link = event.target.closest('a[href]');
    const stays = !link || link.target || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    // What the browser can send after the page is gone needs no wait.
    if (navigator.sendBeacon || stays || off()) continue;
    event.preventDefault();
    setTimeout(() => (location.href = link.href), 250);
  }
}

const watch = (list) => (what, name, properties) => list.push([what, name, properties]);
const trackClick = watch(clicks);
const trackClickOnOutboundLink = watch(outbound);
