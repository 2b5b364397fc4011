//! What the store and the process look like: as JSON for people, as text for Prometheus.

use serde_json::{Value, json};

use crate::app::App;

/// Counts and sizes.
pub fn stats(app: &App) -> Value {
    let snapshot = app.snapshot();
    let mut stats = app.reports().stats(&snapshot);
    let (flushes, compactions) = app.engine().work_done();
    let refusals = app.refusals();
    if let Some(map) = stats.as_object_mut() {
        map.insert("disk_bytes".into(), app.engine().disk_bytes().into());
        map.insert("refused".into(), json!(refusals.counts()));
        map.insert(
            "since_start".into(),
            json!({
                "seconds": app.uptime().as_secs(),
                "stored": snapshot.counters.stored,
                "duplicates": snapshot.counters.duplicates,
                "merges": snapshot.counters.merges,
                "merges_refused": snapshot.counters.merges_refused,
                "flushes": flushes,
                "compactions": compactions,
            }),
        );
    }
    stats
}

/// The same as lines of `name value`.
pub fn text(app: &App) -> String {
    let stats = stats(app);
    let mut out = String::new();
    let mut line = |name: &str, kind: &str, help: &str, value: &Value| {
        if let Some(number) = value.as_f64() {
            out.push_str(&format!(
                "# HELP whodid_{name} {help}\n# TYPE whodid_{name} {kind}\nwhodid_{name} {number}\n"
            ));
        }
    };
    let gauges = [
        ("records", "Records in the store."),
        ("events", "Events in the store."),
        ("people", "People now."),
        ("identities", "Identities ever seen."),
        ("segments", "Segment files."),
        ("damaged_segments", "Segment files that are left out because they are damaged."),
        ("memory_rows", "Rows not in segments yet."),
        ("disk_bytes", "Bytes of the files of the store."),
        ("cached_bytes", "Bytes of decoded rows that reports keep."),
    ];
    for (name, help) in gauges {
        line(name, "gauge", help, stats.get(name).unwrap_or(&Value::Null));
    }
    let since = stats.get("since_start").cloned().unwrap_or_default();
    let counters = [
        ("stored", "Records stored since the start."),
        ("duplicates", "Duplicates since the start."),
        ("merges", "People merged by tracking since the start."),
        ("merges_refused", "Merges refused since the start."),
        ("flushes", "Memtables flushed since the start."),
        ("compactions", "Merges of segments since the start."),
    ];
    for (name, help) in counters {
        line(&format!("{name}_total"), "counter", help, since.get(name).unwrap_or(&Value::Null));
    }
    out.push_str(
        "# HELP whodid_refused_total Records refused, by reason.\n# TYPE whodid_refused_total counter\n",
    );
    for (reason, count) in app.refusals().counts() {
        // Reasons are codes of this program: letters and underscores.
        out.push_str(&format!("whodid_refused_total{{reason=\"{reason}\"}} {count}\n"));
    }
    out
}
