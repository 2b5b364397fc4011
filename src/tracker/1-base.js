// What the rest builds on: settings, cookies, ids, URLs.

// Where this script came from is where records go.
var script = document.currentScript;
var home = (script && script.src.match(/^https?:\/\/[^/]+/) || [location.origin])[0];
// The key of the page's snippet, or else the one that the server wrote into this script.
var key = window._kmk || serverKey;

var nothing = function () {};
var off = function (name) { return !!window['KM_SKIP_' + name]; };
var has = function (value) { return value !== undefined && value !== null && value !== ''; };
var text = function (value) { return value === null ? '' : String(value); };
var each = function (list, visit) { Array.prototype.forEach.call(list, visit); };

// Cookies and stored records are left alone where the visitor or the site wants none.
var stored = !window.KM_COOKIELESS;
var memory = {};

var cookieDomain = function () {
  if (window.KM_COOKIE_DOMAIN) return window.KM_COOKIE_DOMAIN;
  var host = location.hostname.replace(/^www\./, '');
  // A host without a dot and an address have no domain.
  return /\.[a-z-]+$/i.test(host) ? '.' + host : '';
};

var getCookie = function (name) {
  if (!stored && name !== 'out') return memory[name] || '';
  var found = document.cookie.match(new RegExp('(?:^|; )km_' + name + '=([^;]*)'));
  try { return found ? decodeURIComponent(found[1]) : ''; } catch (e) { return ''; }
};

var setCookie = function (name, value, seconds) {
  if (!stored && name !== 'out') { memory[name] = value; return; }
  var domain = cookieDomain();
  document.cookie = 'km_' + name + '=' + encodeURIComponent(value) + '; path=/; max-age=' + seconds +
    '; samesite=lax' + (domain ? '; domain=' + domain : '') + (location.protocol === 'https:' ? '; secure' : '');
};

var YEARS = 5 * 365 * 86400;
var remember = function (name, value) { setCookie(name, value, YEARS); };
var forget = function (name) { setCookie(name, '', 0); };

// 20 random bytes as base64, as visitors' ids always were.
var randomId = function () {
  var bytes = new Uint8Array(20);
  var crypto = window.crypto || window.msCrypto;
  if (crypto) crypto.getRandomValues(bytes);
  else for (var i = 0; i < 20; i++) bytes[i] = Math.random() * 256;
  return btoa(String.fromCharCode.apply(null, bytes));
};

// Do-Not-Track and Global Privacy Control count unless the site says otherwise; a visitor's own choice counts always.
var refused = function () {
  var asked = navigator.doNotTrack === '1' || window.doNotTrack === '1' || navigator.globalPrivacyControl === true;
  return getCookie('out') === '1' || (asked && !window.KM_IGNORE_DNT);
};

// Objects become pairs of a query: arrays joined by commas, functions and objects left out.
var pairs = function (props) {
  var out = [];
  for (var name in props) {
    var value = props[name];
    if (Array.isArray(value)) value = value.join(',');
    if (typeof value === 'function' || (typeof value === 'object' && value !== null)) continue;
    out.push(encodeURIComponent(name) + '=' + encodeURIComponent(text(value)));
  }
  return out.join('&');
};

var copy = function (props) {
  var out = {};
  for (var name in props) out[name] = props[name];
  return out;
};

var urlParts = function (url) {
  var m = String(url).match(/^(?:([a-z][\w+.-]*):)?(?:\/\/([^/?#:]*)(?::(\d+))?)?([^?#]*)(?:\?([^#]*))?/i) || [];
  var params = {};
  (m[5] || '').split('&').forEach(function (pair) {
    var at = pair.indexOf('=');
    if (pair) params[plain(at < 0 ? pair : pair.slice(0, at))] = at < 0 ? '' : plain(pair.slice(at + 1));
  });
  return { scheme: m[1] || '', host: m[2] || '', port: m[3] || '', path: m[4] || '', query: m[5] || '', params: params };
};

var plain = function (part) {
  try { return decodeURIComponent(part.replace(/\+/g, ' ')); } catch (e) { return part; }
};

var pageUrl = function () { return location.href; };
var referrer = function () { return has(window.KM_REFERRER) ? window.KM_REFERRER : document.referrer; };
var bareHost = function (url) { return urlParts(url).host.toLowerCase().replace(/^www\./, ''); };
