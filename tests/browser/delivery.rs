//! How records come through where something is in their way.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::{SHOP, World};

/// Before a page: its way to the server hangs or is broken as `way` says, and its patience is short.
const WAYS: &str = "{
    const [ask, wait] = [window.fetch, window.setTimeout];
    window.setTimeout = (task, ms, ...more) => wait(task, ms === 15000 ? 700 : ms, ...more);
    window.fetch = (url, options) => new Promise((done, fail) => {
        if (!window.way) return ask(url, options).then(done, fail);
        if (way === 'broken') return fail(new TypeError());
        options.signal.addEventListener('abort', () => fail(new TypeError()));
    });
    const source = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, 'src');
    window.images = [];
    Object.defineProperty(HTMLImageElement.prototype, 'src', { set(url) {
        images.push(url);
        if (!window.way || way === 'posts hang') source.set.call(this, url);
        else if (way === 'broken') this.onerror();
    } });
    navigator.sendBeacon = (...all) => !!window.way || Navigator.prototype.sendBeacon.apply(navigator, all);
}";

#[test]
fn a_server_that_hangs_is_left_and_asked_again() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    world.browser.before_pages(&tab, WAYS);
    world.open(&tab, SHOP);
    world.delivered(&tab);
    world.run(&tab, "way = 'posts hang'; KM.record('Late')");
    world.browser.wait(&tab, "images.length");
    let age = world.run(&tab, "+new URL(images[0]).searchParams.get('_o')");
    assert!(age.as_f64().unwrap() >= 690.0, "as old as when it was sent, not when it was tried first: {age}");
    world.delivered(&tab);
    world.run(&tab, "way = 'hung'; KM.record('Held'); KM.record('Behind')");
    world.browser.wait(&tab, "images.length > 1");
    world.run(&tab, "way = ''");
    world.delivered(&tab);
    world.expect_events(&["Visited Site", "Late", "Held", "Behind"]);
}

#[test]
fn what_is_too_long_for_an_image_lets_the_others_pass() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    let left = "Object.keys(localStorage).filter((name) => name.startsWith('kmq.')).length";
    world.open(&tab, &format!("{SHOP}images"));
    world.delivered(&tab);
    world.run(
        &tab,
        "KM.record('Long', { text: '\\u65e5'.repeat(1000) }); KM.record('Behind'); KM.record('Last')",
    );
    world.browser.wait(&tab, &format!("{left} === 1"));
    world.open(&tab, &format!("{SHOP}images"));
    world.browser.wait(&tab, &format!("{left} === 1"));
    let mut expected = vec!["Visited Site", "Loaded", "Behind", "Last", "Loaded"];
    world.expect_events(&expected);
    // A page with another policy lets it out.
    world.open(&tab, SHOP);
    world.delivered(&tab);
    expected.push("Long");
    world.expect_events(&expected);
}

#[test]
fn what_is_forbidden_lets_the_others_pass() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    // A firewall, which dislikes what stands in one record, and the tracking server's word that a record is not valid.
    let wall = "{
        const ask = window.fetch;
        window.asked = [];
        window.fetch = (url, options) => {
            asked.push(options.body);
            const status = options.body.includes('select') ? 403 : options.body.includes('Invalid') ? 422 : 0;
            return status ? Promise.resolve(new Response('', { status })) : ask(url, options);
        };
    }";
    world.browser.before_pages(&tab, wall);
    world.open(&tab, SHOP);
    world.delivered(&tab);
    world.run(
        &tab,
        "KM.record('Searched', { text: 'select 1' }); KM.record('Invalid'); KM.record('Behind'); KM.record('Last')",
    );
    let left = "Object.keys(localStorage).filter((name) => name.startsWith('kmq.')).length";
    world.browser.wait(&tab, &format!("{left} === 1"));
    world.expect_events(&["Visited Site", "Behind", "Last"]);
    // It is asked about again, and not at once each time.
    let asked = world.run(&tab, "asked.filter((body) => body.includes('select')).length");
    assert!((1..6).contains(&asked.as_u64().unwrap()), "{asked}");
}

#[test]
fn another_tab_loses_nothing_of_a_page_without_storage() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    world.browser.before_pages(&tab, WAYS);
    world.open(&tab, &format!("{SHOP}bare"));
    world.expect_events(&["Visited Site"]);
    world.run(&tab, "way = 'broken'; KM.record('Kept')");
    let look = |hidden| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    world.run(&tab, &look(true));
    world.run(&tab, &look(false));
    world.run(&tab, "way = ''");
    world.expect_events(&["Visited Site", "Kept"]);
}

#[test]
fn a_clock_that_is_set_while_a_record_waits_loses_nothing() {
    let Some(mut world) = World::new() else { return };
    for days in [-365, 365] {
        let tab = world.visitor();
        let clock = format!(
            "window.days = {days}; {{ const now = Date.now; Date.now = () => now() + days * 86400000 }}"
        );
        world.browser.before_pages(&tab, &format!("{WAYS} {clock}"));
        world.open(&tab, SHOP);
        world.delivered(&tab);
        world.run(&tab, "way = 'broken'; KM.record('Waited')");
        world.browser.wait(&tab, "images.length");
        world.run(&tab, "days = 0; way = ''");
        world.delivered(&tab);
    }
    world.expect_events(&["Visited Site", "Waited"].repeat(2));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let is_now = |record: &Json| (record["time"].as_f64().unwrap() - now).abs() < 60.0;
    assert!(world.records().iter().all(is_now), "{:?}", world.records());
    assert_eq!(world.server.get("/api/v1/refusals")["counts"], json!({}));
}
