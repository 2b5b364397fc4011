//! The table of client connections. Each has one slot, with what it does and since when. A full table makes room by
//! closing the connection that has kept us waiting longest, so floods of idle and slow clients evict each other.

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::http::limit::network;

/// What a connection does: the two low bits of a slot's state; above them the time since when.
const WAITING: u64 = 0;
const BUSY: u64 = 1;
const WRITING: u64 = 2;
const CLOSED: u64 = 3;

/// One client connection.
pub(super) struct Slot {
    /// The socket; shared so that eviction needs no second descriptor.
    pub stream: TcpStream,
    number: u64,
    network: Option<u64>,
    state: AtomicU64,
    epoch: Instant,
}

impl Slot {
    /// The connection now waits for its client. `false` if it was evicted meanwhile.
    pub fn waiting(&self) -> bool {
        self.change(WAITING)
    }

    /// The connection now writes a large answer: it waits for its client, but is finished when the server stops.
    pub fn writing(&self) -> bool {
        self.change(WRITING)
    }

    /// The connection now works for its client and is not evicted. `false` if it was already.
    pub fn busy(&self) -> bool {
        self.change(BUSY)
    }

    fn change(&self, to: u64) -> bool {
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX >> 2);
        let seen = self.state.load(Ordering::Acquire);
        let next = (now << 2) | to;
        seen & 3 != CLOSED
            && self.state.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn close(&self) {
        self.state.store(CLOSED, Ordering::Release);
        // The socket may be closed by its peer already: then there is nothing to do.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Whether its client still waits for an answer: it has closed neither the connection nor, as clients with a question do not, its half.
    pub fn is_awaited(&self) -> bool {
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut watched = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        // If that cannot be told, they do.
        poll(&mut watched, Some(&Timespec::default())).is_err()
            || !watched.iter().any(|fd| fd.revents().intersects(gone))
    }

    /// Closes it only if it still waits as `seen` says.
    fn evict(&self, seen: u64) -> bool {
        let won = self.state.compare_exchange(seen, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if won {
            self.close();
        }
        won
    }
}

/// Why a connection got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// Every connection is at work.
    Full,
    /// This address has its share, all at work.
    AddressFull,
}

#[derive(Default)]
struct Table {
    slots: HashMap<u64, Arc<Slot>>,
    networks: HashMap<u64, usize>,
    next: u64,
}

/// All slots.
pub(super) struct Slots {
    table: Mutex<Table>,
    emptied: Condvar,
    max: usize,
    per_address: usize,
    uncapped: Vec<IpAddr>,
    epoch: Instant,
}

impl Slots {
    pub fn new(max: usize, per_address: usize, uncapped: Vec<IpAddr>) -> Self {
        let (table, emptied) = (Mutex::default(), Condvar::new());
        Self { table, emptied, max, per_address, uncapped, epoch: Instant::now() }
    }

    /// A slot for `stream`, at the cost of the longest waiting one if there is none free. The socket comes back with
    /// the refusal.
    pub fn take(&self, stream: TcpStream, peer: IpAddr) -> Result<Arc<Slot>, (NoSlot, TcpStream)> {
        let network = if self.uncapped.contains(&peer) { None } else { Some(network(peer)) };
        let mut table = self.lock();
        if let Some(network) = network {
            let held = table.networks.get(&network).copied().unwrap_or(0);
            if held >= self.per_address && !evict(&mut table, Some(network), &[WAITING, WRITING]) {
                return Err((NoSlot::AddressFull, stream));
            }
        }
        if table.slots.len() >= self.max && !evict(&mut table, None, &[WAITING, WRITING]) {
            return Err((NoSlot::Full, stream));
        }
        table.next += 1;
        let (number, epoch) = (table.next, self.epoch);
        let slot = Arc::new(Slot { stream, number, network, state: AtomicU64::new(WAITING), epoch });
        slot.waiting();
        table.slots.insert(number, Arc::clone(&slot));
        if let Some(network) = network {
            *table.networks.entry(network).or_default() += 1;
        }
        Ok(slot)
    }

    /// Closes the longest waiting connection, to free its descriptor.
    pub fn evict_one(&self) -> bool {
        evict(&mut self.lock(), None, &[WAITING, WRITING])
    }

    /// Gives a slot back.
    pub fn release(&self, slot: &Slot) {
        let mut table = self.lock();
        forget(&mut table, slot.number);
        if table.slots.is_empty() {
            self.emptied.notify_all();
        }
    }

    /// Closes the waiting connections now and the busy ones when they are done, at the latest after `patience`.
    pub fn drain(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut table = self.lock();
        loop {
            // Again and again: a connection that was busy may be waiting now.
            while evict(&mut table, None, &[WAITING]) {}
            let left = deadline.saturating_duration_since(Instant::now());
            if table.slots.is_empty() || left.is_zero() {
                break;
            }
            let pause = left.min(Duration::from_millis(20));
            table = self.emptied.wait_timeout(table, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        table.slots.values().for_each(|slot| slot.close());
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // The table is whole at every point where a thread could panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the connection that has been in one of `states` longest, of one network or of all. A connection may go to work in the
/// very moment; then the next one is taken.
fn evict(table: &mut Table, network: Option<u64>, states: &[u64]) -> bool {
    loop {
        let oldest = table
            .slots
            .values()
            .filter(|slot| network.is_none() || slot.network == network)
            .map(|slot| (slot.state.load(Ordering::Acquire), slot))
            .filter(|(state, _)| states.contains(&(state & 3)))
            .min_by_key(|(state, slot)| (state >> 2, slot.number))
            .map(|(state, slot)| (state, Arc::clone(slot)));
        let Some((state, slot)) = oldest else { return false };
        if slot.evict(state) {
            forget(table, slot.number);
            return true;
        }
    }
}

fn forget(table: &mut Table, number: u64) {
    let Some(slot) = table.slots.remove(&number) else { return };
    let Some(network) = slot.network else { return };
    if let Some(held) = table.networks.get_mut(&network) {
        *held -= 1;
        if *held == 0 {
            table.networks.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn sockets(n: usize) -> Vec<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        (0..n).map(|_| TcpStream::connect(addr).unwrap()).collect()
    }

    #[test]
    fn a_full_table_evicts_the_longest_waiting_and_never_a_busy_one() {
        let slots = Slots::new(2, 9, Vec::new());
        let mut sockets = sockets(4).into_iter();
        let mut take = || slots.take(sockets.next().unwrap(), IpAddr::from([10, 0, 0, 1]));
        let (a, b) = (take().unwrap(), take().unwrap());
        assert!(a.busy());
        let c = take().unwrap();
        assert!(!b.busy(), "evicted");
        assert!(a.waiting() && a.busy() && c.busy());
        assert_eq!(take().unwrap_err().0, NoSlot::Full);
        slots.release(&a);
        slots.release(&c);
        assert!(slots.lock().networks.is_empty());
    }

    #[test]
    fn a_server_that_stops_lets_answers_be_written() {
        let slots = Slots::new(2, 9, Vec::new());
        let mut sockets = sockets(3).into_iter();
        let mut take = || slots.take(sockets.next().unwrap(), IpAddr::from([10, 0, 0, 1]));
        let (writing, _waiting) = (take().unwrap(), take().unwrap());
        assert!(writing.writing());
        assert!(evict(&mut slots.lock(), None, &[WAITING]) && !evict(&mut slots.lock(), None, &[WAITING]));
        assert!(writing.writing(), "still there");
        take().unwrap();
        assert!(slots.evict_one() && !writing.busy(), "but a flood evicts it too");
    }

    #[test]
    fn an_address_pays_for_its_own_connections() {
        let slots = Slots::new(9, 1, vec![IpAddr::from([10, 0, 0, 9])]);
        let mut sockets = sockets(5).into_iter();
        let mut take = |ip: &str| slots.take(sockets.next().unwrap(), ip.parse().unwrap());
        let a = take("2001:db8::1").unwrap();
        let other = take("10.0.0.1").unwrap();
        let b = take("2001:db8::2").unwrap();
        assert!(!a.busy() && other.busy() && b.busy(), "the same /64 gave way");
        take("10.0.0.9").unwrap();
        take("10.0.0.9").unwrap();
    }

    impl std::fmt::Debug for Slot {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "slot {}", self.number)
        }
    }
}
