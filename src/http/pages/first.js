// Waits for the first event, and says when it came.
'use strict';
(function () {
  var state = document.getElementById('first');
  var source = new EventSource('api/v1/live');
  source.addEventListener('record', function (event) {
    var record = JSON.parse(event.data);
    source.close();
    state.className = 'came';
    state.textContent = visible('It came: ' + (record.event || record.type) + ' of ' + record.person + '. ');
    var link = document.createElement('a');
    link.href = 'people/' + encodeURIComponent(record.person);
    link.textContent = 'See who that is';
    state.appendChild(link);
    document.querySelector('.headline').textContent = 'It works. ';
    var on = document.createElement('a');
    on.href = '.';
    on.textContent = 'Go on to the overview';
    document.querySelector('.headline').appendChild(on);
  });
  source.addEventListener('refusal', function (event) {
    state.className = 'refusal';
    state.textContent = visible('Something came and was refused: ' + JSON.parse(event.data).message);
  });
})();
