//! Power cuts, restarts and full disks.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{STEPS, fresh, funnel, history, people};
use crate::support::{API_KEY, Client, Server, WRITE_KEY, authorized};

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let (_dir, server) = fresh();
    let data = server.data.clone();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let mut client = server.client();
            thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let person = format!("s{sender}-{n}");
                    let target = format!("/e?_k={WRITE_KEY}&_p={person}&_n=Sent&n={n}");
                    let head = [client.head("GET", target.as_bytes(), &[]), b"\r\n".to_vec()].concat();
                    let reply = if client.write(&head) { client.reply(false) } else { None };
                    match reply {
                        Some(reply) => assert_eq!(reply.status, 200),
                        None => break,
                    }
                    acknowledged.push(person);
                }
                acknowledged
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(700));
    server.kill();
    let sent: Vec<String> = senders.into_iter().flat_map(|s| s.join().unwrap()).collect();
    assert!(sent.len() > 4, "only {} were acknowledged", sent.len());
    let server = Server::start(&data);
    let stored = server.export().join("\n");
    for person in &sent {
        assert!(stored.contains(&format!("\"person\":\"{person}\"")), "{person} of {} is lost", sent.len());
    }
    let records = stored.lines().count();
    assert!(records <= sent.len() + 4, "{records} records, {} acknowledged", sent.len());
}

#[test]
fn a_restart_keeps_records_people_refusals_and_keys() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let (server, printed) = Server::start_with(&data, &[]);
    let printed = printed.join("\n");
    let key = |label: &str| printed.lines().find_map(|l| l.strip_prefix(label)).unwrap().trim().to_owned();
    let (write_key, api_key) = (key("write key:"), key("API key:"));
    let bearer = format!("Bearer {api_key}");
    let with_key = [("Authorization", bearer.as_str())];
    let read = |server: &Server, path: &str| {
        let reply = server.client().send("GET", path, &with_key, b"");
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    let imported = server.client().send("POST", "/api/v1/import", &with_key, history().as_bytes());
    assert_eq!(imported.json()["accepted"], 165);
    let into = br#"{"into":"person1@example.com"}"#;
    let merged = server.client().send("POST", "/api/v1/people/person0%40example.com/merge", &with_key, into);
    assert_eq!(merged.status, 200);
    server.client().open(format!("/e?_k={write_key}&_p=late&_n=x"));
    let before = read(&server, "/api/v1/people/person0%40example.com");
    server.stop();
    let (server, printed) = Server::start_with(&data, &[]);
    assert!(!printed.join("\n").contains("API key"), "it is shown once");
    assert_eq!(read(&server, "/api/v1/people/person0%40example.com"), before);
    let stats = read(&server, "/api/v1/stats");
    assert_eq!((&stats["records"], &stats["people"]), (&166.into(), &60.into()), "{stats}");
    let reply = server.client().open(format!("/e?_k={write_key}&_p=later&_n=x&_debug=1"));
    assert_eq!(reply.status, 200);
    let file = fs::read_to_string(data.join("keys.json")).unwrap();
    assert!(!file.contains(&api_key), "only the hash of the API key is kept");
    server.stop();
    let server = Server::start(&data);
    assert_eq!(server.client().get("/api/v1/stats").status, 200, "keys given anew stand");
    assert_eq!(server.client().send("GET", "/api/v1/stats", &with_key, b"").status, 401);
}

#[test]
fn a_client_that_drips_does_not_hold_up_the_end() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    let mut request = client.head("POST", b"/api/v1/import", &[authorized()]);
    request.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    assert!(client.write(&request));
    let dripping = thread::spawn(move || {
        while client.write(b"1\r\n \r\n") {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let mut half = server.client();
    half.write(b"GET /e?_k=");
    thread::sleep(Duration::from_millis(200));
    server.stop();
    dripping.join().unwrap();
}

#[test]
fn a_placeholder_is_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    for key in ["changeme", "short"] {
        let output = crate::support::run(&data, &["serve", "--listen", "127.0.0.1:0", "--api-key", key], b"");
        assert_eq!(output.status.code(), Some(2));
        assert!(!data.exists(), "nothing was made");
    }
}

#[cfg(unix)]
#[test]
fn the_store_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, server) = fresh();
    server.import(&history());
    assert_eq!(server.post("/api/v1/compact", "").status, 200);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.data), 0o700);
    for entry in fs::read_dir(&server.data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}

/// A small file system of its own, if this machine lets us have one.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, size: &str) -> Option<Self> {
        let size = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        done.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(done.is_ok_and(|status| status.success()) || thread::panicking());
    }
}

#[test]
fn a_full_disk_refuses_records_and_goes_on_reading() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path(), "6m") else {
        eprintln!("SKIPPED: a full disk could not be tried, as no file system can be mounted here");
        return;
    };
    let server = Server::start(&disk.0.join("store"));
    server.import(&history());
    let filler = disk.0.join("filler");
    let mut bytes = vec![1; 5 << 20];
    while fs::write(&filler, &bytes).is_err() {
        bytes.truncate(bytes.len() - (1 << 18));
    }
    let target = format!("/e?_k={WRITE_KEY}&_p=late&_n=x");
    let mut client = server.client();
    let reply = client.open(&target);
    assert_eq!((reply.status, reply.code().as_str()), (507, "disk_full"));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let line = br#"{"type":"event","person":"late","event":"x"}"#;
    assert_eq!(client.send("POST", "/api/v1/import", &[authorized()], line).status, 507);
    let health = server.client().open("/healthz");
    assert_eq!((health.status, &health.json()["error"]["code"]), (503, &"disk_full".into()));
    assert_eq!(people(&funnel(&server, &format!("{{{STEPS}}}"))), [60, 30, 15]);
    assert_eq!(server.export().len(), 165);
    assert_eq!(server.get("/api/v1/refusals")["counts"], serde_json::json!({}), "the sender comes again");
    fs::remove_file(&filler).unwrap();
    let again = |client: &mut Client| client.open(&target).status;
    assert_eq!(again(&mut server.client()), 200);
    assert_eq!(server.client().open("/healthz").status, 200);
    assert_eq!(server.export().len(), 166);
    server.stop();
    assert!(!API_KEY.is_empty());
}

/// Leaves so many bytes of the disk.
fn fill(disk: &Path, leave: u64) -> std::path::PathBuf {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(disk).output().unwrap();
    let free: u64 = String::from_utf8(output.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap();
    let filler = disk.join("filler");
    let zeros = io::copy(&mut io::repeat(0).take(free - leave), &mut fs::File::create(&filler).unwrap());
    assert_eq!(zeros.unwrap(), free - leave);
    filler
}

#[test]
fn what_finds_no_room_says_so_at_once_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path(), "40m") else {
        eprintln!("SKIPPED: a full disk could not be tried, as no file system can be mounted here");
        return;
    };
    let data = disk.0.join("store");
    let server = Server::start(&data);
    let untimed = |n: u64| {
        format!(
            "{{\"type\":\"event\",\"person\":\"p{}\",\"event\":\"V\",\"properties\":{{\"n\":\"{n:0300}\"}}}}\n",
            n % 500
        )
    };
    server.import(&history());
    server.import(&(0..3000).map(untimed).collect::<String>());
    // Room for the head of a log and not for the segment.
    let filler = fill(disk.0, 20 << 10);
    let begun = Instant::now();
    for _ in 0..4 {
        let put = br#"{"events":{"V":1}}"#;
        let changes: [(&str, &str, &[u8]); 3] = [
            ("DELETE", "/api/v1/people/p7", b""),
            ("POST", "/api/v1/compact", b""),
            ("PUT", "/api/v1/retention", put),
        ];
        for (method, target, body) in changes {
            let reply = server.client().send(method, target, &[authorized()], body);
            assert_eq!((reply.status, reply.code().as_str()), (507, "disk_full"), "{method} {target}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(server.get("/api/v1/retention")["events"], json!({}), "refused is not stored");
    assert_eq!(server.client().get("/api/v1/people/p7").status, 200);
    server.stop();
    for command in [&["compact"][..], &["erase", "p7", "--yes"], &["import", "/dev/null"]] {
        let begun = Instant::now();
        let output = crate::support::run(&data, command, b"");
        assert!(begun.elapsed() < Duration::from_secs(10), "{command:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) || command[0] == "import", "{command:?}: {told}");
    }
    fs::remove_file(filler).unwrap();
    let server = Server::start(&data);
    assert_eq!(server.get("/api/v1/stats")["events"], 3105);
    // An import that ends in the middle says where, so that what has no time and no id is not stored twice.
    let lines: Vec<String> = (0..30_000).map(untimed).collect();
    let filler = fill(disk.0, 9 << 20);
    let reply = server.client().send("POST", "/api/v1/import", &[authorized()], lines.concat().as_bytes());
    assert_eq!(reply.status, 507, "{}", reply.text());
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    let line: usize = message.rsplit(' ').next().unwrap().parse().unwrap();
    let stored = server.get("/api/v1/stats")["events"].as_u64().unwrap() - 3105;
    assert!(line > 0 && line as u64 == stored, "{stored}: {message}");
    fs::remove_file(filler).unwrap();
    let begun = Instant::now();
    while server.client().open("/healthz").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it goes on");
        thread::sleep(Duration::from_millis(50));
    }
    server.stop();
}

#[test]
fn a_store_on_a_disk_that_others_filled_can_be_opened_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path(), "80m") else {
        eprintln!("SKIPPED: a full disk could not be tried, as no file system can be mounted here");
        return;
    };
    let data = disk.0.join("store");
    let server = Server::start(&data);
    server.import(&history());
    let low = server.client().open("/healthz").json();
    assert_eq!((&low["status"], &low["disk"]), (&"ok".into(), &"low".into()));
    assert!(server.client().get("/metrics").text().contains("whodid_disk_low 1\n"));
    server.kill();
    assert!(data.join("reserve").exists());
    let filler = disk.0.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    let piece = vec![1; 4096];
    while io::Write::write_all(&mut file, &piece).is_ok() {}
    let server = Server::start(&data);
    assert!(!data.join("reserve").exists(), "it was needed");
    assert_eq!(people(&funnel(&server, &format!("{{{STEPS}}}"))), [60, 30, 15]);
    while io::Write::write_all(&mut file, &piece).is_ok() {}
    let target = format!("/e?_k={WRITE_KEY}&_p=late&_n=x");
    assert_eq!(server.client().open(&target).status, 507);
    assert_eq!(server.client().open("/healthz").status, 503);
    drop(file);
    fs::remove_file(&filler).unwrap();
    assert_eq!(server.client().open(&target).status, 200, "without a restart");
    assert_eq!(server.export().len(), 166);
    let begun = Instant::now();
    while !data.join("reserve").exists() {
        assert!(begun.elapsed() < Duration::from_secs(10), "set aside again, without a restart");
        thread::sleep(Duration::from_millis(50));
    }
    server.stop();
}
