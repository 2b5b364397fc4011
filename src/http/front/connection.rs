//! The life of one client connection: request after request, each read whole or streamed, run by its route's class
//! and answered, until either side ends it.

use std::io::Read;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::answer::{self, Form};
use super::body::{BodyReader, Fault, Pace, Unpacked};
use super::head::{self, Coding, Framing, Head, Refusal, refuse};
use super::wire::{Gone, Wire};
use crate::error::{Error, ErrorKind};
use crate::http::message::{
    Body, FORWARDED_SCHEME, Headers, Method, Request, Response, ResponseBody, is_token,
};
use crate::http::router::{self, Access, Class, Found, Route};
use crate::http::{pages, respond};
use crate::limits;
use crate::threads::{Patience, patiently};

/// What comes after an answer.
enum After {
    /// The next request.
    KeepAlive,
    /// The end, with nothing of the client's unread.
    Close,
    /// The end, with bytes of a refused body still on their way.
    Linger,
}

/// Serves one connection until it ends.
pub(super) fn serve(shared: &Shared, wire: &mut Wire, peer: IpAddr) {
    loop {
        let after = match read_head(shared, wire, peer) {
            Ok(head) => run(shared, wire, head),
            Err(Fault::Closed) => return,
            Err(Fault::Refused(refusal)) => {
                let cross_origin = count_bad_head(shared, wire.buffered(), &refusal, peer);
                refuse_and_close(shared, wire, refusal, cross_origin)
            }
        };
        match after {
            Ok(After::KeepAlive) if !shared.is_stopping() => {}
            Ok(After::KeepAlive | After::Close) | Err(_) => return,
            Ok(After::Linger) => {
                if wire.slot.waiting() {
                    let most = if shared.config.trusted_proxies.contains(&peer) {
                        limits::LINGER_PROXY_BYTES_MAX
                    } else {
                        limits::LINGER_BYTES_MAX
                    };
                    wire.linger(most, shared.config.deadlines.linger);
                }
                return;
            }
        }
    }
}

/// Waits for the next request and reads its head.
fn read_head(shared: &Shared, wire: &mut Wire, peer: IpAddr) -> Result<Head, Fault> {
    if !wire.slot.waiting() {
        return Err(Fault::Closed);
    }
    let deadlines = &shared.config.deadlines;
    let mut deadline = (!wire.buffered().is_empty()).then(|| Instant::now() + deadlines.head);
    let mut searched = 0;
    loop {
        // Some clients end a body with an empty line that they do not count.
        while searched == 0 && wire.buffered().starts_with(b"\r\n") {
            wire.consume(2);
        }
        let seen = wire.buffered();
        if let Some(end) = head::end_of_head(seen, searched) {
            let parsed = head::parse(seen.get(..end).unwrap_or(&[]), peer).map_err(Fault::Refused)?;
            wire.consume(end);
            return Ok(parsed);
        }
        head::check_line_ends(seen, searched).map_err(Fault::Refused)?;
        searched = seen.len();
        let left = deadline.map_or(deadlines.idle, |at| at.saturating_duration_since(Instant::now()));
        match wire.fill(left) {
            Ok(0) => return Err(Fault::Refused(head::too_long(wire.buffered()))),
            Ok(_) => deadline = deadline.or_else(|| Some(Instant::now() + deadlines.head)),
            Err(Gone::Late) if !wire.buffered().is_empty() => {
                let refusal = refuse(408, "timeout", "the head of the request did not arrive in time");
                return Err(Fault::Refused(refusal));
            }
            Err(_) => return Err(Fault::Closed),
        }
    }
}

/// Writes an answer. Clients that only send write all their requests, read nothing and close: that nobody takes the answer is no
/// reason to pass over what came behind.
fn answer(shared: &Shared, wire: &mut Wire, response: Response, form: Form) -> Result<(), Gone> {
    match answer::write(wire, response, form, shared.config.deadlines.write) {
        Err(Gone::Closed) if form.keep_alive && wire.deaf => Ok(()),
        written => written,
    }
}

fn refuse_and_close(
    shared: &Shared,
    wire: &mut Wire,
    refusal: Refusal,
    cross_origin: bool,
) -> Result<After, Gone> {
    let response = respond::refusal(refusal.status, refusal.code, refusal.message);
    answer_and_close(shared, wire, response, cross_origin)
}

fn answer_and_close(
    shared: &Shared,
    wire: &mut Wire,
    response: Response,
    cross_origin: bool,
) -> Result<After, Gone> {
    let form = Form { keep_alive: false, old: false, head_only: false, cross_origin };
    answer::write(wire, response, form, shared.config.deadlines.write)?;
    Ok(After::Linger)
}

fn run(shared: &Shared, wire: &mut Wire, mut head: Head) -> Result<After, Gone> {
    let form = Form {
        keep_alive: head.keep_alive && !shared.is_stopping(),
        old: head.old,
        head_only: head.method == Method::Head,
        cross_origin: false,
    };
    forwarded_peer(shared, &mut head.request);
    if shared.config.tracker_path.as_ref() == Some(&head.request.path) {
        router::SCRIPT_PATH.clone_into(&mut head.request.path);
    }
    match plan(shared, &head) {
        // Nobody is there to read it.
        Ok(route) if wire.deaf && !matches!(route.access, Access::Write | Access::WriteOrRead) => {
            Ok(After::Close)
        }
        Ok(route) => {
            let form = Form { cross_origin: route.cross_origin, ..form };
            if matches!(route.class, Class::Stream | Class::Watch) {
                run_stream(shared, wire, route, &head, form)
            } else {
                run_whole(shared, wire, route, head, form)
            }
        }
        Err(response) => {
            let form = Form {
                keep_alive: form.keep_alive && head.framing.is_empty(),
                // What the answer to `OPTIONS` allows stands in it already.
                cross_origin: head.method != Method::Options
                    && router::find(head.method, &head.request.path).is_cross_origin(),
                ..form
            };
            answer(shared, wire, response, form)?;
            Ok(match (form.keep_alive, head.framing.is_empty()) {
                (true, _) => After::KeepAlive,
                (false, true) => After::Close,
                (false, false) => After::Linger,
            })
        }
    }
}

/// Behind a trusted proxy the client is the last address in the list that is no trusted proxy itself.
fn forwarded_peer(shared: &Shared, request: &mut Request) {
    let trusted = &shared.config.trusted_proxies;
    if !trusted.contains(&request.peer) {
        // Whatever else it would say of the way that its request came.
        request.headers.remove(FORWARDED_SCHEME);
        return;
    }
    // Some proxies append to the list, others add a header of their own behind the client's.
    let fields = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    let list: Vec<_> = fields.flat_map(|(_, value)| value.split(',')).map(str::trim).collect();
    let addresses: Vec<_> = list.iter().rev().map(|text| text.parse::<IpAddr>()).collect();
    for address in addresses {
        let Ok(address) = address else { return };
        request.peer = address;
        if !trusted.contains(&address) {
            return;
        }
    }
}

/// Tells of a request that is refused: one that was to bring records is counted, as nothing that is sent goes in silence.
fn count_refused(shared: &Shared, route: &Route, request: &Request, code: &'static str, message: &str) {
    if route.access == Access::Write {
        shared.handler.refused(request, code, message);
    }
}

/// As [`count_refused`], of a head that is refused itself. It need not be whole. Whether pages of other sites may read why.
fn count_bad_head(shared: &Shared, head: &[u8], refusal: &Refusal, peer: IpAddr) -> bool {
    // What is wrong with these is what the client sends, whenever it does.
    if !matches!(refusal.status, 400 | 414 | 431) {
        return false;
    }
    let head = head.get(..limits::TARGET_BYTES_MAX).unwrap_or(head);
    let line = String::from_utf8_lossy(head.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or(head));
    let Some((method, target)) = line.split_once(' ') else { return false };
    // What stands behind the last space of a line that is whole is its version.
    let target = target.rsplit_once(" HTTP/").map_or(target, |(target, _)| target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let method = Method::parse(method);
    let Found::Route(route) = router::find(method, path) else { return false };
    let (path, query, headers) = (path.to_owned(), query.to_owned(), Headers::default());
    let request = Request { method, path, query, headers, body: Body::default(), peer };
    count_refused(shared, route, &request, refusal.code, refusal.message);
    route.cross_origin
}

/// Decides before any byte of the body is read: the route, or the answer instead.
fn plan(shared: &Shared, head: &Head) -> Result<&'static Route, Response> {
    let route = match router::find(head.method, &head.request.path) {
        Found::Route(route) => route,
        Found::WrongMethod(routes) => return Err(other_method(head, &routes)),
        Found::Nothing => {
            let nothing = Error::new(ErrorKind::NotFound, "not_found", "there is no such path");
            return Err(pages::lost(&head.request, &nothing));
        }
    };
    if !route.cross_origin && !shared.hosts.allows(head.request.headers.get("host")) {
        let message = "this server does not go by that Host name";
        return Err(pages::refusal(&head.request, 421, "foreign_host", message));
    }
    let refused = |status, code, message| {
        count_refused(shared, route, &head.request, code, message);
        pages::refusal(&head.request, status, code, message)
    };
    let streams_in = route.class == Class::Stream && route.method == Method::Post;
    match head.coding {
        Coding::Gzip if streams_in || route.unpacks() => {}
        Coding::Identity => {}
        _ => {
            return Err(refused(415, "content_encoding", "this content encoding is not taken here"));
        }
    }
    if streams_in && head.framing == Framing::None {
        return Err(respond::refusal(411, "length_required", "send a length, or chunks"));
    }
    if let (Framing::Length(length), Some(max)) = (head.framing, body_max(route))
        && length > max as u64
    {
        return Err(refused(413, "too_large", "the body is larger than this route takes"));
    }
    shared.handler.turn_away(route, &head.request).map_or(Ok(route), Err)
}

/// The largest body of a route; `None` for a streamed one.
fn body_max(route: &Route) -> Option<usize> {
    match route.class {
        Class::Stream if route.method == Method::Post => None,
        Class::Stream | Class::Watch => Some(0),
        _ if route.access == Access::Open => Some(limits::OPEN_FORM_BYTES_MAX),
        Class::Direct => Some(limits::TRACK_BYTES_MAX),
        Class::Whole(_) | Class::Query => Some(limits::QUERY_BYTES_MAX),
    }
}

/// The answer to `OPTIONS`, which asks what a page may send, or to a method that the path does not have.
fn other_method(head: &Head, routes: &[&'static Route]) -> Response {
    let response = if head.method == Method::Options {
        let response = Response::new(204, "", Vec::new());
        if routes.iter().any(|route| route.cross_origin) {
            response
                .with("Access-Control-Allow-Origin", "*")
                .with("Access-Control-Allow-Methods", "GET, POST")
                .with("Access-Control-Max-Age", "86400")
                .with("Vary", "Access-Control-Request-Headers")
                .with_value("Access-Control-Allow-Headers", sendable(&head.request.headers))
                .unwrap_or_else(|e| respond::error(&e))
        } else {
            response
        }
    } else {
        let message = "this path has other methods; see Allow";
        pages::refusal(&head.request, 405, "method_not_allowed", message)
    };
    response.with_value("Allow", router::allow(routes)).unwrap_or_else(|e| respond::error(&e))
}

/// The headers that a page may send: those it asks for, as every vendor's script has some of its own.
fn sendable(headers: &Headers) -> String {
    let asked = headers.get("access-control-request-headers");
    let asked =
        asked.filter(|names| names.len() <= 1024 && names.split(',').all(|name| is_token(name.trim())));
    asked.unwrap_or("Authorization, Content-Type, Content-Encoding").to_owned()
}

fn run_whole(
    shared: &Shared,
    wire: &mut Wire,
    route: &'static Route,
    mut head: Head,
    form: Form,
) -> Result<After, Gone> {
    let deadlines = &shared.config.deadlines;
    let is_open = matches!(route.access, Access::Open | Access::Write);
    let mut held = if is_open { &shared.open_bodies } else { &shared.bodies }.reserve();
    if !head.framing.is_empty() {
        let pace = Pace::Total(Instant::now() + deadlines.body);
        let mut reader = BodyReader::new(wire, head.framing, head.expects_continue, pace);
        match reader.read_whole(body_max(route).unwrap_or(0), &mut held) {
            Ok(body) => head.request.body = body,
            Err(Fault::Closed) => return Err(Gone::Closed),
            Err(Fault::Refused(refusal)) => {
                if refusal.status == 413 {
                    count_refused(shared, route, &head.request, refusal.code, refusal.message);
                }
                let Refusal { status, code, message } = refusal;
                let response = pages::refusal(&head.request, status, code, message);
                return answer_and_close(shared, wire, response, form.cross_origin);
            }
        }
    }
    if !wire.slot.busy() {
        return Err(Gone::Closed);
    }
    let mut answer_held = shared.answers.reserve();
    let response = match route.class {
        Class::Whole(pool) => {
            let answer = shared.relay.exchange(pool, &head.request, &mut answer_held);
            answer.unwrap_or_else(|r| pages::refusal(&head.request, r.status, r.code, r.message))
        }
        Class::Query => match shared.queries.take(deadlines.turn) {
            Some(_permit) => {
                let (looks, slot) = (pages::looks(&head.request), Arc::clone(&wire.slot));
                let patience = Patience::new(deadlines.report, move || slot.is_awaited());
                let answer = || shared.handler.handle(route, head.request);
                let response = guarded(route, || patiently(Some(patience), answer));
                // Held until the client has it, but not longer by the report: the permit is free again.
                if answer_held.grow_to(response.bytes().len()) { response } else { busy(looks) }
            }
            None => busy(pages::looks(&head.request)),
        },
        _ => guarded(route, || shared.handler.handle(route, head.request)),
    };
    let form = whole_only(&response, form);
    answer(shared, wire, response, form)?;
    Ok(if form.keep_alive { After::KeepAlive } else { After::Close })
}

fn busy(looks: bool) -> Response {
    pages::refusal_to(looks, 503, "busy", "too much at once: try again")
}

/// HTTP/1.0 knows the end of a streamed answer only by the end of the connection.
fn whole_only(response: &Response, form: Form) -> Form {
    let endless = form.old && matches!(response.body, ResponseBody::Stream(_));
    Form { keep_alive: form.keep_alive && !endless, ..form }
}

fn run_stream(
    shared: &Shared,
    wire: &mut Wire,
    route: &'static Route,
    head: &Head,
    form: Form,
) -> Result<After, Gone> {
    let deadlines = &shared.config.deadlines;
    if !wire.slot.busy() {
        return Err(Gone::Closed);
    }
    let permits = match (route.class, route.method) {
        (Class::Watch, _) => &shared.watchers,
        (_, Method::Post) => &shared.imports,
        _ => &shared.exports,
    };
    let Some(permit) = permits.take(deadlines.turn) else {
        let refusal = refuse(503, "busy", "too many of this kind at once: try again");
        return refuse_and_close(shared, wire, refusal, form.cross_origin);
    };
    let pace = Pace::progress(deadlines.progress);
    let mut reader = BodyReader::new(wire, head.framing, head.expects_continue, pace);
    let mut response = if head.coding == Coding::Gzip {
        stream(shared, route, head, &mut Unpacked::Not(Some(&mut reader)))
    } else {
        stream(shared, route, head, &mut reader)
    };
    let (ended, fault) = (reader.is_ended(), reader.fault);
    match fault {
        Some(Fault::Closed) => return Err(Gone::Closed),
        // Whatever the handler made of it, a body that broke off was not taken as a whole.
        Some(Fault::Refused(r)) if response.status < 400 => {
            response = respond::refusal(r.status, r.code, r.message);
        }
        _ => {}
    }
    let form = whole_only(&response, Form { keep_alive: form.keep_alive && ended, ..form });
    // What is done waits for no client.
    let _permit = Some(permit).filter(|_| matches!(response.body, ResponseBody::Stream(_)));
    answer(shared, wire, response, form)?;
    Ok(match (form.keep_alive, ended) {
        (true, _) => After::KeepAlive,
        (false, true) => After::Close,
        (false, false) => After::Linger,
    })
}

fn stream(shared: &Shared, route: &'static Route, head: &Head, body: &mut (dyn Read + Send)) -> Response {
    guarded(route, || shared.handler.stream(route, &head.request, body))
}

/// Runs a handler; a panic in it costs this answer only.
fn guarded(route: &Route, handler: impl FnOnce() -> Response) -> Response {
    match catch_unwind(AssertUnwindSafe(handler)) {
        Ok(response) if answer::fits(&response) => response,
        Ok(_) => {
            log::error!("the answer of {} is larger than 16 MiB", route.pattern);
            respond::error(&respond::too_large())
        }
        Err(_) => {
            log::error!("the handler of {} panicked", route.pattern);
            respond::refusal(500, "internal", "an internal error; it was logged")
        }
    }
}
