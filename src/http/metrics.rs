//! What the store and the process look like: as JSON for people, as text for Prometheus.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::limit::Limits;
use super::projects::Project;
use crate::app::space::Room;
use crate::app::{App, Heartbeat};
use crate::disk::system;
use crate::engine::meters::{BOUNDS_MICROS, Histogram};
use crate::error::Result;

/// Counts and sizes.
pub fn stats(app: &App) -> Value {
    let snapshot = app.snapshot();
    let mut stats = app.reports().stats(&snapshot);
    let (flushes, compactions) = app.engine().work_done();
    if let Some(map) = stats.as_object_mut() {
        map.insert("disk_bytes".into(), app.engine().disk_bytes().into());
        map.insert("refused".into(), json!(app.engine().refusal_counts()));
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

/// The same as Prometheus reads it, and what is measured while it runs.
pub fn text(app: &App, seen: &[Arc<Project>], limits: &Limits) -> Result<String> {
    let mut out = Text(String::new());
    of_store(app, &mut out);
    heartbeats(seen, &mut out)?;
    of_disk(app, &mut out)?;
    let engine = app.engine();
    let meters = engine.meters();
    out.histogram(
        "ack_seconds",
        "How long senders waited for their records to be durable.",
        &meters.acknowledged,
    );
    out.histogram("sync_seconds", "How long the log took to be written and synced.", &meters.synced);
    out.one("queue", "gauge", "Requests that wait for the writer.", engine.waiting() as u64);
    out.one("rows_to_merge", "gauge", "Rows of segments that are to be merged next.", engine.rows_to_merge());
    let last = u64::try_from(meters.last_stored.load(Ordering::Relaxed)).unwrap_or(0);
    out.name(
        "last_record_timestamp_seconds",
        "gauge",
        "When the latest record came; 0 if none did since the start.",
    );
    out.line("last_record_timestamp_seconds", &[], last as f64 / 1000.0);
    out.name("turned_away_total", "counter", "Requests that came too often, by what was too much.");
    for (what, count) in limits.refused() {
        out.line("turned_away_total", &[("by", what)], count as f64);
    }
    let usage = system::usage();
    out.one("memory_bytes", "gauge", "Memory of the process.", usage.memory);
    let help = "Of it, what is the program's own; mapped files are not.";
    out.one("memory_own_bytes", "gauge", help, usage.memory_own);
    let help = "The budget for that (--memory); 0 if there is none.";
    out.one("memory_budget_bytes", "gauge", help, app.memory().budget().unwrap_or(0));
    out.one("memory_peak_bytes", "gauge", "The most memory that the process ever had.", usage.memory_peak);
    out.one("open_files", "gauge", "Open files, sockets included.", usage.files);
    out.one("open_files_max", "gauge", "How many files may be open.", usage.files_max);
    out.one("threads", "gauge", "Threads.", usage.threads);
    out.one("uptime_seconds", "counter", "Seconds since the start.", app.uptime().as_secs());
    Ok(out.0)
}

/// Whether events come, for all projects that whoever asks may see.
fn heartbeats(seen: &[Arc<Project>], out: &mut Text) -> Result<()> {
    let beats =
        seen.iter().map(|project| Ok(project.app.heartbeat()?.map(|beat| (project.id.to_string(), beat))));
    let beats: Vec<(String, Heartbeat)> = beats.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    out.name("last_event_age_seconds", "gauge", "How old the latest event of a project is.");
    for (project, beat) in &beats {
        out.line("last_event_age_seconds", &[("project", project)], beat.age as f64 / 1000.0);
    }
    out.name("silent", "gauge", "1 if no event has come for much longer than is usual for the project.");
    for (project, beat) in &beats {
        out.line("silent", &[("project", project)], f64::from(u8::from(beat.silent.is_some())));
    }
    Ok(())
}

fn of_store(app: &App, out: &mut Text) {
    let stats = stats(app);
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
    for (name, help) in [
        ("records", "Records in the store."),
        ("events", "Events in the store."),
        ("people", "People now."),
        ("identities", "Identities ever seen."),
        ("event_names", "Different event names."),
        ("property_names", "Different property names."),
        ("segments", "Segment files."),
        ("damaged_segments", "Segment files that are left out because they are damaged."),
        ("memory_rows", "Rows not in segments yet."),
        ("cached_bytes", "Bytes of decoded rows that reports keep."),
    ] {
        out.one(name, "gauge", help, number(stats.get(name)));
    }
    out.one(
        "names_max",
        "gauge",
        "Event names, and property names, that tracking may make.",
        app.names_max() as u64,
    );
    let since = stats.get("since_start").cloned().unwrap_or_default();
    for (name, help) in [
        ("stored", "Records stored since the start."),
        ("duplicates", "Duplicates since the start."),
        ("merges", "People merged by tracking since the start."),
        ("merges_refused", "Merges refused since the start."),
        ("flushes", "Memtables flushed since the start."),
        ("compactions", "Merges of segments since the start."),
    ] {
        out.one(&format!("{name}_total"), "counter", help, number(since.get(name)));
    }
    out.name("refused_total", "counter", "Records refused, by reason.");
    for (reason, count) in app.engine().refusal_counts() {
        out.line("refused_total", &[("reason", &reason)], count as f64);
    }
}

fn of_disk(app: &App, out: &mut Text) -> Result<()> {
    let engine = app.engine();
    let log = engine.meters().log_bytes.load(Ordering::Relaxed);
    let healthy = u64::from(engine.healthy().is_ok());
    out.one("writable", "gauge", "1 if records can be stored.", healthy);
    out.one("disk_bytes", "gauge", "Bytes of the files that the manifest names.", engine.disk_bytes());
    out.one("log_bytes", "gauge", "Bytes of the log that is written now.", log);
    let all = system::bytes_in(app.dir())?;
    out.one(
        "directory_bytes",
        "gauge",
        "Bytes of all files in the directory of the store, logs included.",
        all,
    );
    let (room, free) = app.room()?;
    out.one("disk_low", "gauge", "1 if the disk has little room or none.", u64::from(room != Room::Enough));
    out.one("free_bytes", "gauge", "Bytes that can still be written to the disk of the store.", free);
    Ok(())
}

/// Lines of Prometheus' text format.
struct Text(String);

impl Text {
    /// Says what comes next.
    fn name(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP whodid_{name} {help}\n# TYPE whodid_{name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        // Values of labels are codes and numbers of this program: nothing in them needs to be escaped.
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.0.push_str(&format!("whodid_{name}{labels} {value}\n"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.name(name, kind, help);
        self.line(name, &[], value as f64);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.name(name, "histogram", help);
        let bounds = BOUNDS_MICROS.iter().map(|micros| (*micros as f64 / 1e6).to_string());
        let mut sum = 0;
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(histogram.counts()) {
            sum += count;
            self.line(&format!("{name}_bucket"), &[("le", &bound)], sum as f64);
        }
        self.line(&format!("{name}_sum"), &[], histogram.sum_micros() as f64 / 1e6);
        self.line(&format!("{name}_count"), &[], sum as f64);
    }
}
