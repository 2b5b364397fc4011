// Whether this visitor may be tracked at all. While not, nothing is sent, stored or remembered.

const signal =
  navigator.globalPrivacyControl || [navigator.doNotTrack, window.doNotTrack].some((sign) => sign === '1');

// What the visitor said to the page stands over what the browser says for all pages.
function off() {
  const choice = get('oo');
  if (choice) return choice === '1';
  return needsConsent || (!!signal && !ignoreSignals);
}

function optOut() {
  waiting().forEach(drop);
  ['ai', 'ni', 'lv', 'vs', 'abi'].forEach(forget);
  put('oo', '1', YEARS);
}

function optIn() {
  put('oo', '0', YEARS);
  arrive();
}
