// Who the visitor is: a random id, and from `identify` on a name.

// Placeholders of pages that know nobody: under one of them strangers would become one person.
const CLEARS = /^(['"]?)(?:null|nil|)\1$/i;
const NOBODY = /^(?:undefined|none|anonymous|guest|0|true|nan|\[object object\])$/i;
// The server refuses others, and all that would be sent under them.
const ACCEPTED = /^[^\0-\x1f\x7f-\x9f]{1,255}$/u;

function anonymous() {
  let id = get('ai');
  if (!id) {
    id = window.KMCID || random(21);
    put('ai', id, YEARS);
  }
  return id;
}

const current = () => (off() ? '' : get('ni') || anonymous());

function clearIdentity() {
  if (!get('ni')) return;
  forget('ni');
  forget('ai');
}

function identify(id) {
  if (off()) return;
  const name = id === null ? '' : String(id).trim();
  if (CLEARS.test(name)) return clearIdentity();
  const known = get('ni');
  if (name === known || NOBODY.test(name) || !ACCEPTED.test(name)) return;
  if (known) {
    // Somebody else at this browser. Two named people are never joined, and the random id is the first one's.
    forget('ai');
  } else if (anonymous() !== name) {
    post('/a', {}, { _p: anonymous(), _n: name });
  }
  put('ni', name, YEARS);
}

function alias(one, other) {
  if (!off() && one && other && one !== other) post('/a', {}, { _p: other, _n: one });
}
