// Adds what happens to the table, newest first. Everything is put in as text.
'use strict';
(function () {
  var table = document.querySelector('#live tbody');
  var state = document.getElementById('state');
  var pause = document.getElementById('pause');
  // As the clocks of the zone show it; Swedes write dates as everybody can sort them.
  var clock = new Intl.DateTimeFormat('sv-SE', { timeZone: document.getElementById('live').dataset.zone, dateStyle: 'short', timeStyle: 'medium' });
  var paused = false;
  var seen = 0;
  // Rows that came while paused, as many as the table has.
  var waiting = [];

  function cell(row, text, tag) {
    var td = document.createElement(tag || 'td');
    td.textContent = visible(text);
    row.appendChild(td);
    return td;
  }

  // Text that is written from right to left must not turn what stands beside it.
  function apart(parent, text) {
    var bdi = document.createElement('bdi');
    bdi.textContent = visible(text);
    parent.appendChild(bdi);
  }

  // How often each event, person and property came, and the five that came most.
  function counter(id, target) {
    var list = document.getElementById(id);
    var counts = new Map();
    return function (name) {
      if (!name) return;
      counts.set(name, (counts.get(name) || 0) + 1);
      if (counts.size > 1000) counts.delete(counts.keys().next().value);
      var top = Array.from(counts).sort(function (a, b) { return b[1] - a[1]; }).slice(0, 5);
      list.replaceChildren.apply(list, top.map(function (entry) {
        var item = document.createElement('li');
        var link = document.createElement('a');
        link.href = target + encodeURIComponent(entry[0]);
        link.textContent = visible(entry[0]);
        item.append(link, ' ' + entry[1]);
        return item;
      }));
    };
  }
  var countEvent = counter('top-events', 'live?event=');
  var countPerson = counter('top-people', 'live?person=');
  var countProperty = counter('top-properties', 'live?property=');
  // Events and people are filtered by the server, which knows nothing of this one.
  var property = new URLSearchParams(location.search).get('property');

  // The dot before it is green while what comes is shown.
  function say(text, live) {
    state.textContent = text;
    state.classList.toggle('on', !!live);
  }

  function tell() {
    // What is said of a connection that was lost stays until there is one again.
    if (source.readyState !== EventSource.OPEN) return;
    var held = waiting.length + (waiting.length === 200 ? ' or more' : '');
    if (paused) say('Paused' + (waiting.length ? ': ' + held + ' came since.' : '.'));
    else say(seen ? seen + ' since this page was opened.' : 'Waiting for events.', true);
  }

  // Not green before the server has answered.
  say('Waiting for events.');

  function show(time, what, person, properties, kind) {
    seen++;
    if (paused) {
      waiting.push([time, what, person, properties, kind]);
      if (waiting.length > 200) waiting.shift();
    } else {
      add(time, what, person, properties, kind);
    }
    tell();
  }

  function add(time, what, person, properties, kind) {
    var row = document.createElement('tr');
    if (kind) row.className = kind;
    cell(row, clock.format(new Date(time)));
    cell(row, what, 'th');
    var who = cell(row, '');
    if (person) {
      var link = document.createElement('a');
      // As the server does: dots alone would be a way through folders.
      link.href = 'people/' + (/^\.\.?$/.test(person) ? '%20' : '') + encodeURIComponent(person);
      link.textContent = visible(person);
      who.appendChild(link);
    }
    var known = cell(row, '');
    properties.forEach(function (one, at) {
      if (at) known.append(', ');
      apart(known, one);
    });
    table.insertBefore(row, table.firstChild);
    while (table.rows.length > 200) table.deleteRow(200);
  }

  // What else the address says is for this page alone.
  var asked = new URLSearchParams(location.search), wanted = new URLSearchParams();
  ['event', 'person'].forEach(function (name) {
    if (asked.get(name)) wanted.set(name, asked.get(name));
  });
  var source = new EventSource('api/v1/live?' + wanted);
  source.addEventListener('record', function (event) {
    var record = JSON.parse(event.data);
    if (property && Object.keys(record.properties).indexOf(property) < 0) return;
    var what = record.type === 'event' ? record.event : record.type === 'identify' ? 'identified as ' + record.to : 'set';
    var properties = Object.keys(record.properties).map(function (name) { return name + ': ' + record.properties[name]; });
    countEvent(record.event);
    countPerson(record.person);
    Object.keys(record.properties).forEach(countProperty);
    show(record.time, what, record.person, properties);
  });
  source.addEventListener('refusal', function (event) {
    var refusal = JSON.parse(event.data);
    show(refusal.time, 'refused: ' + refusal.reason, '', [refusal.message, refusal.record.identity, refusal.record.name].filter(Boolean), 'refusal');
  });
  source.addEventListener('gap', function (event) {
    say('Some records were too many to show: ' + (JSON.parse(event.data).missed || '?') + '.', !paused);
  });
  source.onopen = tell;
  source.onerror = function () {
    if (source.readyState !== EventSource.CLOSED) {
      say('The connection was lost; trying again.');
      return;
    }
    // Refused: a session ends with the server that it was opened at.
    var again = document.createElement('a');
    again.href = location.href;
    again.textContent = 'Log in again';
    state.classList.remove('on');
    state.replaceChildren('Nothing more comes: the server no longer knows this session. ', again, '.');
  };
  pause.addEventListener('click', function () {
    paused = !paused;
    pause.textContent = paused ? 'Go on' : 'Pause';
    pause.setAttribute('aria-pressed', String(paused));
    if (!paused) waiting.splice(0).forEach(function (row) { add.apply(null, row); });
    tell();
  });
})();
