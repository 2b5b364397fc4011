// Waits for the first event, and says when it came.
'use strict';
(function () {
  // Characters that turn or hide others are shown as what they are.
  function visible(text) {
    return String(text).replace(/[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, function (c) {
      return '[U+' + c.charCodeAt(0).toString(16).toUpperCase() + ']';
    });
  }

  var state = document.getElementById('first');
  var source = new EventSource('/api/v1/live');
  source.addEventListener('record', function (event) {
    var record = JSON.parse(event.data);
    source.close();
    state.className = 'came';
    state.textContent = visible('It came: ' + (record.event || record.type) + ' of ' + record.person + '. ');
    var link = document.createElement('a');
    link.href = '/people/' + encodeURIComponent(record.person);
    link.textContent = 'See who that is';
    state.appendChild(link);
  });
  source.addEventListener('refusal', function (event) {
    state.className = 'refusal';
    state.textContent = visible('Something came and was refused: ' + JSON.parse(event.data).message);
  });
})();
