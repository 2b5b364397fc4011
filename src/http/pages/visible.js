// Stands before the scripts that show what was sent: characters that turn or hide others are shown as what they are.
'use strict';

function visible(text) {
  return String(text).replace(/[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, function (c) {
    return '[U+' + c.charCodeAt(0).toString(16).toUpperCase() + ']';
  });
}

