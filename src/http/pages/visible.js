// Stands before the scripts that show what was sent: characters that turn or hide others are shown as what they are.
'use strict';

function visible(text) {
  return String(text).replace(/[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu, function (c) {
    return '[U+' + c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0') + ']';
  });
}

