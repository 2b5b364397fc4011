// Sending: one record after the other, each kept until the server has it. A record has an id, so one that is sent
// again after a lost answer, or by another tab, is stored once; and its age, so the visitor's clock does not matter.

var KEPT_MAX = 100;
var KEPT_BYTES = 50000;
var KEPT_MS = 7 * 86400000;
var queue = [];
var sending = false;
var pause = 1000;

// Unsent records of this and of earlier pages.
var load = function () {
  try { return stored ? JSON.parse(localStorage.getItem('km_uq')) || [] : []; } catch (e) { return []; }
};

var keep = function (records) {
  if (!stored) return;
  try {
    var kept = JSON.stringify(records.slice(-KEPT_MAX));
    // The oldest go first where there are too many.
    while (kept.length > KEPT_BYTES && records.length) {
      records = records.slice(Math.ceil(records.length / 2));
      kept = JSON.stringify(records);
    }
    if (records.length) localStorage.setItem('km_uq', kept); else localStorage.removeItem('km_uq');
  } catch (e) { /* Full or forbidden: this page still sends what it has. */ }
};

var settle = function (id) { keep(load().filter(function (record) { return record.i !== id; })); };

// A record: its id, path, pairs and the time that it was made, by this browser's clock.
var send = function (path, props, done) {
  if (refused()) { if (done) setTimeout(done, 0); return; }
  var record = { i: randomId(), p: path, q: pairs(props), t: Date.now() };
  keep(load().concat(record));
  record.done = done || nothing;
  queue.push(record);
  next();
};

var body = function (record) {
  // The wire's own time, if the page gave one, stands.
  var own = /(?:^|&)_d=1(?:&|$)/.test(record.q);
  return record.q + '&_k=' + encodeURIComponent(key) + '&_i=' + encodeURIComponent(record.i) +
    (own ? '' : '&_o=' + Math.max(0, Date.now() - record.t));
};

var next = function () {
  if (sending || !queue.length) return;
  var record = queue[0];
  sending = true;
  post(record, function (ok) {
    sending = false;
    if (queue[0] === record) queue.shift();
    else if (queue.indexOf(record) < 0) return next();
    if (ok) {
      settle(record.i);
      pause = 1000;
      record.done();
      return next();
    }
    queue.unshift(record);
    setTimeout(next, pause);
    pause = Math.min(pause * 2, 60000);
  });
};

var post = function (record, done) {
  if (window.fetch) {
    // Text that is a form: no other origin has to be asked first.
    fetch(home + '/' + record.p, { method: 'POST', body: body(record), keepalive: true, credentials: 'omit',
      headers: { 'Content-Type': 'text/plain' } })
      .then(function (answer) { done(answer.status < 500 && answer.status !== 429); }, function () { done(false); });
  } else {
    var image = new Image(1, 1);
    image.onload = function () { done(true); };
    image.onerror = function () { done(false); };
    image.src = home + '/' + record.p + '?' + body(record);
  }
};

// The page goes: what is left is handed to the browser. Whether it arrives is not told, so it stays kept, and is
// sent once more by the next page.
var leave = function () {
  if (!navigator.sendBeacon || refused()) return;
  queue.forEach(function (record) { navigator.sendBeacon(home + '/' + record.p, body(record)); });
};

var resend = function () {
  if (refused()) return;
  var known = {};
  queue.forEach(function (record) { known[record.i] = true; });
  load().forEach(function (record) {
    if (!known[record.i] && Date.now() - record.t < KEPT_MS) {
      record.done = nothing;
      queue.push(record);
    }
  });
  next();
};
