//! The front: the only part that the network meets. It accepts, reads strictly, bounds connections, bytes and time, and
//! hands whole requests on. tiny_http alone could be stopped by one request of 70 bytes.

mod answer;
mod body;
mod budget;
mod connection;
mod head;
mod relay;
mod slots;
#[cfg(test)]
mod tests;
mod wire;

pub(in crate::http) use relay::ask_worker;

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::hosts::Hosts;
use super::message::Request;
use super::{Config, Handler};
use crate::error::{Error, ErrorKind as Kind, Result};
use crate::limits;
pub(in crate::http) use budget::Budget;
use budget::Permits;
use relay::Relay;
use slots::{NoSlot, Slot, Slots};
use wire::Wire;

/// Says that a body comes unpacked by the front, which clients cannot.
pub(in crate::http) const UNPACKED_HEADER: &str = "X-Guard-Unpacked";
/// Descriptors kept free for what nobody counted.
const SPARE_FILES: u64 = 64;
/// Pause after a failed accept: descriptors need a moment to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);
/// Time to wake our own accept loop.
const WAKE_TIME: Duration = Duration::from_secs(1);

/// See [`super::read_head`].
pub(super) fn read_head(bytes: &[u8], peer: IpAddr) -> std::result::Result<Request, (u16, &'static str)> {
    head::parse(bytes, peer).map(|head| head.request).map_err(|refusal| (refusal.status, refusal.message))
}

const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const ADDRESS_FULL: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What all connections share.
struct Shared {
    config: Config,
    handler: Arc<dyn Handler>,
    hosts: Hosts,
    slots: Slots,
    relay: Relay,
    /// Of who showed a key or a session.
    bodies: Budget,
    /// Of everybody else, who may have a key in the body.
    open_bodies: Budget,
    answers: Budget,
    imports: Permits,
    queries: Permits,
    exports: Permits,
    watchers: Permits,
    stopping: AtomicBool,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// The running front.
pub(super) struct Front {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// Binds the address. The kernel's queue is made longer than the default: an idle flood fills a short one.
pub(super) fn bind(addr: SocketAddr) -> Result<TcpListener> {
    let failed = |e: std::io::Error| {
        let hint = match e.kind() {
            ErrorKind::AddrInUse => "another program listens there: stop it, or choose another port",
            ErrorKind::PermissionDenied => "ports below 1024 need privileges: choose a higher one",
            _ => "check the address",
        };
        Error::new(Kind::Io, "listen", format!("cannot listen on {addr}: {e}")).hint(hint)
    };
    let listener = TcpListener::bind(addr).map_err(failed)?;
    rustix::net::listen(&listener, limits::BACKLOG).map_err(|e| failed(e.into()))?;
    Ok(listener)
}

impl Front {
    /// Connects to the workers behind `sockets`, then accepts.
    pub fn start(
        listener: TcpListener,
        config: Config,
        handler: Arc<dyn Handler>,
        sockets: &[PathBuf],
    ) -> Result<Self> {
        let failed = |e: std::io::Error| Error::new(Kind::Io, "listen", format!("the listening socket: {e}"));
        let addr = listener.local_addr().map_err(failed)?;
        #[cfg(target_os = "linux")]
        if let Ok(millis) = u32::try_from(config.deadlines.write.as_millis()) {
            // Inherited by accepted sockets: a second line against clients that vanish.
            rustix::net::sockopt::set_tcp_user_timeout(&listener, millis).map_err(|e| failed(e.into()))?;
        }
        let mut uncapped = config.uncapped.clone();
        uncapped.extend(&config.trusted_proxies);
        let max = connection_limit(config.connections, config.reserved_files);
        let known = config.in_flight_bytes / limits::IN_FLIGHT_PARTS;
        let shared = Arc::new(Shared {
            handler,
            hosts: Hosts::new(addr, &config.names),
            slots: Slots::new(max, limits::CONNECTIONS_PER_ADDRESS, uncapped),
            relay: Relay::start(sockets, config.deadlines.turn, config.deadlines.answer)?,
            bodies: Budget::new(known),
            open_bodies: Budget::new(config.in_flight_bytes - known),
            answers: Budget::new(config.in_flight_bytes),
            imports: Permits::new(limits::IMPORTS_MAX),
            queries: Permits::new(limits::QUERIES_MAX),
            exports: Permits::new(limits::EXPORTS_MAX),
            watchers: Permits::new(limits::WATCHERS_MAX),
            stopping: AtomicBool::new(false),
            config,
        });
        let for_thread = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || accept_loop(&for_thread, &listener))
            .map_err(failed)?;
        Ok(Self { addr, shared, acceptor: Some(acceptor) })
    }

    /// The address bound.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops accepting, lets running requests finish, closes everything.
    pub fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.shared.stopping.store(true, Ordering::Release);
        let mut to = self.addr;
        if to.ip().is_unspecified() {
            to.set_ip(match to.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        match TcpStream::connect_timeout(&to, WAKE_TIME) {
            Ok(_) if acceptor.join().is_err() => log::error!("the accept loop had panicked"),
            Ok(_) => {}
            Err(e) => log::warn!("the accept loop could not be woken: {e}"),
        }
        self.shared.slots.drain(self.shared.config.deadlines.stop);
    }
}

/// How many connections there may be: as many as wanted, and as descriptors remain after the rest of the program.
fn connection_limit(wanted: usize, reserved: usize) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(e) = setrlimit(Resource::Nofile, limit) {
            log::warn!("the limit of open files stays as it is: {e}");
        }
    }
    let Some(files) = getrlimit(Resource::Nofile).current else { return wanted };
    // Both ends of each connection to a worker, which tiny_http doubles on its side.
    let ours = 3 * limits::WORKERS.iter().sum::<usize>() as u64 + SPARE_FILES;
    let left = files.saturating_sub(ours + reserved as u64);
    wanted.min(usize::try_from(left).unwrap_or(wanted)).max(16)
}

/// Accepts for ever: after an error the longest waiting connection gives up its descriptor.
fn accept_loop(shared: &Arc<Shared>, listener: &TcpListener) {
    let mut failing = false;
    while !shared.is_stopping() {
        match listener.accept() {
            Ok((stream, peer)) => {
                failing = false;
                if !shared.is_stopping() {
                    admit(shared, stream, peer.ip());
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(e) => {
                if !failing {
                    log::error!("accepting failed, the longest waiting connections are closed: {e}");
                }
                failing = true;
                shared.slots.evict_one();
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

/// Gives a connection its slot and its thread.
fn admit(shared: &Arc<Shared>, stream: TcpStream, peer: IpAddr) {
    let peer = peer.to_canonical();
    if stream.set_nodelay(true).is_err() {
        // It is gone already.
        return;
    }
    let slot = match shared.slots.take(stream, peer) {
        Ok(slot) => slot,
        Err((why, mut stream)) => {
            let answer = if why == NoSlot::Full { FULL } else { ADDRESS_FULL };
            // The buffer of a new socket takes it without waiting; if the client is gone nobody is told.
            let _ = stream.write(answer);
            return;
        }
    };
    let guard = Release { shared: Arc::clone(shared), slot };
    let started = thread::Builder::new()
        .name("client".to_owned())
        .stack_size(limits::CONNECTION_STACK_BYTES)
        .spawn(move || run(&guard, peer));
    if let Err(e) = started {
        // The slot went back with the closure that did not run.
        log::error!("no thread for a connection: {e}");
    }
}

fn run(guard: &Release, peer: IpAddr) {
    let served = catch_unwind(AssertUnwindSafe(|| {
        connection::serve(&guard.shared, &mut Wire::new(Arc::clone(&guard.slot)), peer);
    }));
    if served.is_err() {
        log::error!("a connection's thread panicked; the connection was closed");
    }
}

/// Gives a slot back, whatever way its thread ends.
struct Release {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

impl Drop for Release {
    fn drop(&mut self) {
        self.shared.slots.release(&self.slot);
    }
}
