//! What operators use besides the server: the examples in docs/, `doctor`, the log file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{API_KEY, Server, WRITE_KEY, authorized, run, whodid};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap()
}

/// A tool of the machine, or the one that `tests/install` unpacked.
fn tool(name: &str) -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/proxies/usr");
    let found = ["sbin", "bin"].map(|folder| unpacked.join(folder).join(name));
    found.into_iter().find(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// Runs a tool on a file if there is one; what it says if it refuses.
fn verified(name: &str, arguments: &[&str]) {
    match Command::new(tool(name)).args(arguments).output() {
        Ok(output) => {
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.status.success(), "{name} {arguments:?}: {said}");
        }
        Err(error) => eprintln!("SKIPPED: {name} could not be asked: {error}"),
    }
}

#[test]
fn the_units_are_some_and_their_commands_exist() {
    const UNITS: [&str; 3] = ["whodid.service", "whodid-backup.service", "whodid-backup.timer"];
    let unit = example("whodid.service");
    for line in [
        "User=whodid",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "Restart=always",
        // What the server and the backup write is below these, which systemd makes for the user.
        "StateDirectory=whodid whodid-backups",
        "EnvironmentFile=-/etc/whodid.env",
        // It looks and says what it found: the server knows itself what it cannot do without.
        "ExecStartPre=-/usr/local/bin/whodid --data /var/lib/whodid doctor --listen 127.0.0.1:8080 --memory 1GiB",
    ] {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
    let program = whodid(Path::new("none")).get_program().to_string_lossy().into_owned();
    let dir = tempfile::tempdir().unwrap();
    let paths = UNITS.map(|name| {
        let path = dir.path().join(name);
        fs::write(&path, example(name).replace("/usr/local/bin/whodid", &program)).unwrap();
        path.to_str().unwrap().to_owned()
    });
    verified(
        "systemd-analyze",
        &[&["verify", "--man=no"], &paths.each_ref().map(String::as_str)[..]].concat(),
    );
    // What they run is read by the program itself: an unknown option would be told.
    let texts = UNITS.map(example);
    let lines = texts.iter().flat_map(|text| text.lines());
    let commands: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("ExecStartPre=-").or_else(|| line.strip_prefix("ExecStart=")))
        .collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in commands {
        let command = command.strip_prefix("/usr/local/bin/whodid ").unwrap();
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        assert!(run(dir.path(), &arguments, b"").status.success(), "{arguments:?}");
    }
}

#[test]
fn the_document_has_every_variable_and_no_other() {
    let mut expected = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let named = text.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next());
        expected.extend(named.map(ToOwned::to_owned));
    }
    assert!(expected.len() >= 13, "{expected:?}");
    let text = document();
    let rows = text.lines().filter(|line| line.starts_with("| `--"));
    let quoted = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let found: BTreeSet<String> =
        quoted.filter(|word| word.starts_with("WHODID_")).map(ToOwned::to_owned).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_document_has_every_metric_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let (name, value) = authorized();
    let answer = server.client().send("GET", "/metrics", &[(name, value)], b"");
    let text = answer.text();
    let expected: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE whodid_")?.split(' ').next()).collect();
    let document = document();
    let (_, table) = document.split_once("## What each metric means").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    // The first column names them.
    let cells = table.lines().filter_map(|row| row.strip_prefix("| `"));
    let names = cells.filter_map(|row| row.split(" | ").next()).flat_map(|cell| cell.split("`, `"));
    let found: BTreeSet<&str> = names.filter_map(|name| name.split(['{', '`']).next()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_proxies_are_configured_for_what_the_server_expects() {
    let (nginx, caddy) = (example("nginx.conf"), example("Caddyfile"));
    for line in [
        "proxy_request_buffering on;",
        "X-Forwarded-For $remote_addr;",
        "Host $host;",
        "client_body_timeout",
        "proxy_read_timeout 610s;",
        "location ~ ^(/p/[0-9]+)?/api/v1/live$",
        // Shorter than the server's own 10 s.
        "keepalive 32; # whodid closes what says nothing for 10 s. A request that met the close would be answered 502. keepalive_timeout 8s;",
    ] {
        let squeezed = nginx.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(line), "{line}");
    }
    assert!(caddy.contains("reverse_proxy 127.0.0.1:8080") && caddy.contains("max_size"));
    assert!(caddy.contains("keepalive 8s"));
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).to_str().unwrap().to_owned()
    };
    // Without the certificate, which is not there.
    let plain = nginx.replace(" ssl;", ";").replace("443", "18443");
    let plain: String =
        plain.lines().filter(|l| !l.trim().starts_with("ssl_")).map(|l| format!("{l}\n")).collect();
    let inner = file("whodid.conf", plain);
    // Where it makes directories as soon as it reads this.
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|of| format!("{of}_temp_path {}/{of};", dir.path().display()))
        .concat();
    let outer = file(
        "nginx.conf",
        format!(
            "pid {0}/pid;\nerror_log {0}/log;\nevents {{}}\nhttp {{ access_log off; {temporary} include {inner}; }}\n",
            dir.path().display()
        ),
    );
    verified("nginx", &["-t", "-q", "-c", &outer]);
    let caddyfile = file("Caddyfile", caddy);
    verified("caddy", &["validate", "--adapter", "caddyfile", "--config", &caddyfile]);
}

#[test]
fn the_doctor_says_what_is_well_and_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let look = |listen: &str| {
        let output = run(&data, &["doctor", "--listen", listen], b"");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = look("127.0.0.1:0");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("the first start makes it") && !data.exists(), "{text}");
    let server = Server::start(&data);
    server.client().open(format!("/e?_k={WRITE_KEY}&_p=a&_n=x"));
    let (code, text) = look(&server.addr);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("a server answers \"ok\"") && text.contains("opens: 1 record,"), "{text}");
    assert!(text.contains("holds it") && text.contains("for its owner only"), "{text}");
    server.stop();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    // A program that accepts and closes.
    let closing = std::thread::spawn(move || other.accept().map(drop));
    let (code, text) = look(&taken);
    closing.join().unwrap().unwrap();
    assert!(code == Some(1) && text.contains("another program listens there"), "{text}");
    // What the opening leaves out is no store that is well.
    assert!(run(&data, &["compact"], b"").status.success());
    let files = fs::read_dir(&data).unwrap().map(|file| file.unwrap().path());
    let segment = files.into_iter().find(|path| path.to_string_lossy().contains("seg-")).unwrap();
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 9]).unwrap();
    let (code, text) = look("127.0.0.1:0");
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(code == Some(1) && text.contains("FAILED   store") && text.contains(name), "{text}");
    fs::write(data.join("MANIFEST"), b"WDMAN001 damaged").unwrap();
    let (code, text) = look("127.0.0.1:0");
    assert!(code == Some(1) && text.contains("FAILED   store") && text.contains("MANIFEST"), "{text}");
}

#[test]
fn the_log_file_has_a_line_of_json_for_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("whodid.log");
    let keys =
        [("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY), ("WHODID_LOG", log.to_str().unwrap())];
    let server = Server::start_with(&dir.path().join("store"), &keys).0;
    assert_eq!(server.client().open(format!("/e?_k={WRITE_KEY}&_p=jane@example.com&_n=x")).status, 200);
    server.stop();
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |what: &str| lines.iter().any(|line| line["message"].as_str().unwrap().contains(what));
    assert!(said("serves") && said("signal 15") && said("the store is closed"), "{text}");
    assert!(lines.iter().all(|line| line["time"].is_string() && line["level"] == "info"), "{text}");
    for secret in [WRITE_KEY, API_KEY, "jane@example.com"] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn what_root_does_by_hand_belongs_to_whoever_has_the_directory() {
    use std::os::unix::fs::{MetadataExt, chown};
    const NOBODY: u32 = 65_534;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    fs::create_dir(&data).unwrap();
    if chown(&data, Some(NOBODY), Some(NOBODY)).is_err() {
        eprintln!("SKIPPED: only root can give a directory away");
        return;
    }
    let run = |arguments: &[&str]| {
        let done = whodid(&data).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let file = dir.path().join("records");
    fs::write(&file, r#"{"type":"event","person":"a","event":"A"}"#).unwrap();
    run(&["import", "--json", file.to_str().unwrap()]);
    run(&["retention", "--days", "900"]);
    run(&["user", "add", "jane@example.com", "--role", "owner"]);
    let backups = dir.path().join("backups");
    fs::create_dir(&backups).unwrap();
    chown(&backups, Some(NOBODY), Some(NOBODY)).unwrap();
    run(&["backup", backups.join("daily").to_str().unwrap()]);
    run(&["restore", backups.join("daily").to_str().unwrap(), backups.join("new").to_str().unwrap()]);
    let (mut left, mut found) = (vec![data.clone(), backups], 0);
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let (entry, metadata) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            assert_eq!(metadata.uid(), NOBODY, "{}", entry.display());
            left.extend(Some(entry).filter(|_| metadata.is_dir()));
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}
