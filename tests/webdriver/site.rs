//! A web site of somebody who uses the tracker: pages as given, on a port of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// A page: what it is, further fields of its head, each with the end of its line, and its text.
pub struct Page {
    pub kind: &'static str,
    pub fields: &'static str,
    pub text: String,
}

/// Serves what `page` has for a path until the process ends; the port.
pub fn serve(page: impl Fn(&str) -> Option<Page> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let page = Arc::new(page);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let page = Arc::clone(&page);
            // A browser that has gone away needs no answer.
            thread::spawn(move || answer(stream, page.as_ref()).is_some());
        }
    });
    port
}

fn answer(mut stream: TcpStream, page: &impl Fn(&str) -> Option<Page>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let found = page(first.split(' ').nth(1)?.split('?').next()?);
    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
    let page = found.unwrap_or_else(|| Page { kind: "text/html", fields: "", text: String::new() });
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Cache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        page.kind,
        page.text.len(),
        page.fields
    );
    stream.write_all(format!("{head}{}", page.text).as_bytes()).ok()
}
