//! A web site of somebody who uses the tracker: pages as given, on a port of its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// A page: what it is, a policy for it or none, and its text.
pub struct Page {
    pub kind: &'static str,
    pub policy: Option<String>,
    pub text: String,
}

/// Serves pages by path until the process ends; the port.
pub fn serve(pages: HashMap<&'static str, Page>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let pages = Arc::new(pages);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pages = Arc::clone(&pages);
            thread::spawn(move || answer(stream, &pages));
        }
    });
    port
}

fn answer(mut stream: TcpStream, pages: &HashMap<&'static str, Page>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1)?.split('?').next()?.to_owned();
    let missing = Page { kind: "text/plain", policy: None, text: "nothing here".into() };
    let page = pages.get(path.as_str()).unwrap_or(&missing);
    let policy =
        page.policy.as_ref().map(|p| format!("Content-Security-Policy: {p}\r\n")).unwrap_or_default();
    let status = if pages.contains_key(path.as_str()) { "200 OK" } else { "404 Not Found" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {}\r\n{policy}Content-Length: {}\r\nConnection: close\r\n\r\n",
        page.kind,
        page.text.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(page.text.as_bytes()).ok()
}
