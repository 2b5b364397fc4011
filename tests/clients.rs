//! The programs of `docs/clients.md`, run as they stand there. Where a language is not at hand its test says so and passes.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Server, WRITE_KEY};

/// Languages as the document marks them: what runs a file of them, with what before it, and whom the program is about.
const LANGUAGES: [(&str, &[&str], &str); 6] = [
    ("sh", &["sh"], "curl"),
    ("python", &["python3"], "python"),
    ("js", &["node"], "node"),
    ("go", &["go", "run"], "go"),
    ("php", &["php"], "php"),
    ("ruby", &["ruby"], "ruby"),
];

/// The blocks of the document: their language and their text.
fn blocks() -> Vec<(String, String)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks
        .map(|block| block.split_once('\n').unwrap())
        .map(|(l, text)| (l.to_owned(), text.to_owned()))
        .collect()
}

#[test]
fn the_programs_of_the_document_run_as_they_stand() {
    let blocks = blocks();
    let languages: Vec<&str> = blocks.iter().map(|(language, _)| language.as_str()).collect();
    assert_eq!(languages, LANGUAGES.map(|(language, ..)| language));
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    for ((language, text), (_, program, who)) in blocks.iter().zip(LANGUAGES) {
        let at_hand = |program: &str| {
            Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok()
        };
        // Of Go it is enough that it can be started: it calls its version otherwise.
        if !at_hand(program[0]) || (*language == "sh" && !at_hand("curl")) {
            eprintln!("SKIPPED: {who} is not at hand, so its program in docs/clients.md was not run");
            continue;
        }
        let file = dir.path().join(format!("client.{language}"));
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(&file).env("WHODID_URL", format!("http://{}", server.addr));
        let output = command.env("WHODID_KEY", WRITE_KEY).current_dir(dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{who}: {said}");
        let name = format!("{who}@example.com");
        let person = server.get(&format!("/api/v1/people/{who}%40example.com"));
        assert_eq!(person["identities"], json!([format!("anon-{who}"), name]), "{person}");
        assert_eq!(
            (&person["properties"], &person["revenue"]),
            (&json!({"Company": "Acme"}), &json!("49.9")),
            "{who}"
        );
        let line = server.get(&format!("/api/v1/people/anon-{who}/events"));
        assert_eq!(line["events"][0]["properties"], json!({"Plan": "Pro", "Revenue": 49.9}), "{who}");
        // With a key that is not known each of them fails and says why.
        let refused = command.env("WHODID_KEY", "nobody").output().unwrap();
        assert!(!refused.status.success(), "{who} does not see that it was refused");
    }
}
