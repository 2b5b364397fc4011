//! A door for who sits at the machine: commands ask the server that has the store through the socket of its workers. Only the user of
//! the store can open that, who can change every file of it as well, so no key is needed. The front lets no header of this name
//! through.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::front;
use super::message::{Headers, Method, Request, Response};
use super::router::Pool;
use super::server::socket_name;
use crate::error::{Error, ErrorKind, Result};

const HEADER: &str = "X-Guard-Operator";

/// Whether a request came by this door.
pub fn asks(request: &Request) -> bool {
    request.headers.get(HEADER).is_some()
}

/// Whether a server has its sockets in `dir`.
pub fn is_there(dir: &Path) -> bool {
    dir.join(socket_name(Pool::Bulk)).exists()
}

/// Asks the server whose sockets are in `dir`, and waits as long as it takes.
pub fn ask(dir: &Path, method: Method, path: &str, body: &str) -> Result<Response> {
    let mut headers = Headers::default();
    headers.push("Host", "localhost");
    headers.push(HEADER, "1");
    let request = Request {
        method,
        path: path.to_owned(),
        query: String::new(),
        headers,
        body: body.as_bytes().to_vec(),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let socket = dir.join(socket_name(Pool::Bulk));
    front::ask_worker(&socket, &request).map_err(|e| {
        let message = format!("the server gave no answer through {}: {e}", socket.display());
        Error::new(ErrorKind::Busy, "no_answer", message).hint("try again, or use its HTTP API")
    })
}
