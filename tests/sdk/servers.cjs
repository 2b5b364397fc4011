// @segment/analytics-node, @rudderstack/rudder-sdk-node and kissmetrics as they are, with another host: node servers.cjs MODULES HOST KEY
const [modules, host, key] = process.argv.slice(2);
const path = require('path');
const { Analytics } = require(path.join(modules, '@segment/analytics-node'));
const Rudder = require(path.join(modules, '@rudderstack/rudder-sdk-node'));
const Kissmetrics = require(path.join(modules, 'kissmetrics'));
const failed = [];

async function segment() {
  const analytics = new Analytics({ writeKey: key, host: 'http://' + host, maxRetries: 0, flushAt: 4 });
  analytics.on('error', (error) => failed.push(JSON.stringify(error)));
  analytics.identify({ userId: 'node-1', traits: { email: 'node@example.com' } });
  analytics.track({ userId: 'node-1', anonymousId: 'node-anon', event: 'Order Completed', properties: { total: 7 } });
  analytics.page({ userId: 'node-1', name: 'Home' });
  analytics.alias({ userId: 'node-1', previousId: 'node-old' });
  await analytics.closeAndFlush();
}

async function rudder() {
  const RudderAnalytics = Rudder.default || Rudder;
  const client = new RudderAnalytics(key, { dataPlaneUrl: 'http://' + host, flushAt: 10, maxFlushRetries: 0, gzip: true });
  const done = (error) => error && failed.push(String(error));
  client.identify({ userId: 'rs-1', traits: { email: 'rs@example.com' } }, done);
  client.track({ userId: 'rs-1', event: 'Order Completed', properties: { revenue: '3.5' } }, done);
  await client.flush();
}

async function kissmetrics() {
  const [name, port] = host.split(':');
  const client = new Kissmetrics({ key, host: name, port });
  // It calls everything but 200 an error.
  const sent = (method, ...given) => new Promise((done) => client[method](...given, (error) => {
    if (error) failed.push(String(error));
    done();
  }));
  await sent('record', 'km-node-anon', 'Signed Up', { 'Plan Name': 'Pro & more', price: '9.50', _t: 1740823200, _d: 1 });
  await sent('set', 'km-node', { city: 'Z\u00fcrich' });
  await sent('alias', 'km-node-anon', ['km-node']);
}

segment().then(rudder).then(kissmetrics).then(() => {
  if (failed.length) console.error(failed.join('\n'));
  process.exit(failed.length ? 1 : 0);
}, (error) => { console.error(error); process.exit(1); });
