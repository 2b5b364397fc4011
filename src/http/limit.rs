//! How often one client may ask: a bucket of tokens for each, which fills by itself, in a table of bounded size.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::front::Budget;
use super::message::Response;
use super::respond;
use crate::error::{Error, ErrorKind};
use crate::limits;

/// One token in the units that buckets count: what a rate of one a minute brings in a minute of milliseconds.
const TOKEN: i64 = 60_000;

/// A limit for each of many clients.
#[derive(Debug)]
pub struct Limiter {
    per_minute: i64,
    burst: i64,
    epoch: Instant,
    buckets: Mutex<HashMap<u64, Bucket>>,
    refused: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// May be below zero: what a client took before its price was known.
    units: i64,
    /// Milliseconds since the epoch up to which it was filled.
    filled: i64,
}

impl Limiter {
    /// `per_minute` tokens a minute for each client, saved up to `burst`. Zero a minute is no limit.
    pub fn new(per_minute: u32, burst: u32) -> Self {
        Self {
            per_minute: i64::from(per_minute),
            burst: i64::from(burst.max(1)) * TOKEN,
            epoch: Instant::now(),
            buckets: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Lets a client in if it has a token left, and takes it. If not, the seconds until it has one.
    pub fn take(&self, client: u64) -> Result<(), u64> {
        self.charge(client, 1, true)
    }

    /// Takes `tokens` more from a client that was let in.
    pub fn spend(&self, client: u64, tokens: usize) {
        let _paid = self.charge(client, tokens, false);
    }

    /// How many were not let in.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn charge(&self, client: u64, tokens: usize, ask: bool) -> Result<(), u64> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let now = i64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.charge_at(now, client, tokens, ask).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn charge_at(&self, now: i64, client: u64, tokens: usize, ask: bool) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= limits::LIMITED_CLIENTS_MAX && !buckets.contains_key(&client) {
            // Who has a full bucket is as good as unknown. If few have, this is an attack with many addresses, which no limit by address
            // stops: all begin anew, so that it costs no memory.
            buckets.retain(|_, bucket| self.filled(*bucket, now).units < self.burst);
            if buckets.len() > limits::LIMITED_CLIENTS_MAX / 2 {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(client).or_insert(Bucket { units: self.burst, filled: now });
        *bucket = self.filled(*bucket, now);
        if ask && bucket.units < TOKEN {
            // At least one a second in practice: clients round down.
            let missing = (TOKEN - bucket.units).div_euclid(self.per_minute * 1000);
            return Err(u64::try_from(missing).unwrap_or(0) + 1);
        }
        let price = i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(TOKEN);
        bucket.units = bucket.units.saturating_sub(price);
        Ok(())
    }

    fn filled(&self, bucket: Bucket, now: i64) -> Bucket {
        let units = (now - bucket.filled).max(0).saturating_mul(self.per_minute);
        Bucket { units: bucket.units.saturating_add(units).min(self.burst), filled: now.max(bucket.filled) }
    }
}

/// How often whom.
#[derive(Debug)]
pub struct Limits {
    /// Records of one address.
    addresses: Limiter,
    /// Records under one key.
    keys: Limiter,
    /// Who may send any number: a proxy that says nothing of its clients.
    exempt: Vec<IpAddr>,
    /// Bytes of large bodies that are unpacked at the moment, and of others.
    pub(super) unpacked: [Budget; 2],
    /// The networks that import with a write key at the moment.
    imports: Mutex<Vec<u64>>,
}

/// The turn of an import with a write key; it ends when it is dropped.
#[derive(Debug)]
pub struct Turn<'l> {
    imports: &'l Mutex<Vec<u64>>,
    network: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut imports = self.imports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = imports.iter().position(|network| *network == self.network) {
            imports.swap_remove(at);
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(limits::ADDRESS_RATE, 0, Vec::new())
    }
}

impl Limits {
    /// Records a second of one address and under one key, each with [`limits::BURST_SECONDS`] of it saved up; zero is no limit.
    /// Loopback is exempt, as a proxy may send from there for everybody.
    pub fn new(address: u32, key: u32, exempt: Vec<IpAddr>) -> Self {
        let of =
            |rate: u32| Limiter::new(rate.saturating_mul(60), rate.saturating_mul(limits::BURST_SECONDS));
        let unpacked = [limits::UNPACKED_BYTES_MAX, limits::UNPACKED_SMALL_BYTES_MAX].map(Budget::new);
        Self { addresses: of(address), keys: of(key), exempt, unpacked, imports: Mutex::default() }
    }

    /// With room for so many bytes of large bodies that are unpacked at one moment; in any case for one of the largest.
    #[must_use]
    pub fn with_unpacked(mut self, bytes: usize) -> Self {
        self.unpacked[0] = Budget::new(bytes.clamp(limits::UNPACKED_LARGE_BYTES, limits::UNPACKED_BYTES_MAX));
        self
    }

    /// A request with at least one record comes from an address. If it comes too often, the seconds to wait.
    pub fn comes(&self, peer: IpAddr) -> Result<(), u64> {
        if self.is_exempt(peer) { Ok(()) } else { self.addresses.take(network(peer)) }
    }

    /// A request that came has so many records, under a key with this number.
    pub fn sends(&self, peer: IpAddr, key: u64, records: usize) -> crate::Result<()> {
        self.keys.take(key).map_err(|seconds| {
            let error =
                Error::new(ErrorKind::TooOften, "too_many_requests", "too many records under this key");
            error.hint(format!("send again in {seconds} s; serve --key-rate sets the limit"))
        })?;
        let more = records.saturating_sub(1);
        self.keys.spend(key, more);
        if !self.is_exempt(peer) {
            self.addresses.spend(network(peer), more);
        }
        Ok(())
    }

    /// The turn of an import with a write key, which is public, if there is room and no other of its address. One more would keep those
    /// waiting who may do everything.
    pub fn imports(&self, peer: IpAddr) -> crate::Result<Turn<'_>> {
        let network = network(peer);
        let mut imports = self.imports.lock().unwrap_or_else(PoisonError::into_inner);
        let another = imports.contains(&network) && !self.is_exempt(peer);
        if another || imports.len() >= limits::PUBLIC_IMPORTS_MAX {
            let message = "too many imports with the write key at once: try again";
            return Err(Error::new(ErrorKind::Busy, "busy", message));
        }
        imports.push(network);
        Ok(Turn { imports: &self.imports, network })
    }

    /// How many requests were turned away, by what was too much.
    pub fn refused(&self) -> [(&'static str, u64); 2] {
        [("address", self.addresses.refused()), ("key", self.keys.refused())]
    }

    fn is_exempt(&self, peer: IpAddr) -> bool {
        peer.to_canonical().is_loopback() || self.exempt.contains(&peer)
    }
}

/// The number under which an address is counted: an IPv4 address, or the 64 bits of IPv6 that a household gets.
pub fn network(peer: IpAddr) -> u64 {
    match peer.to_canonical() {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
    }
}

/// The answer to a client that asks too often.
pub fn too_often(seconds: u64, message: &str) -> Response {
    respond::wait(429, "too_many_requests", message, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_burst_and_then_its_rate() {
        let limiter = Limiter::new(120, 3);
        let take = |now, client| limiter.charge_at(now, client, 1, true);
        assert_eq!([take(0, 1), take(0, 1), take(0, 1)], [Ok(()); 3]);
        assert_eq!(take(0, 1), Err(1));
        assert_eq!(take(0, 2), Ok(()), "another client");
        assert_eq!((take(499, 1), take(500, 1), take(500, 1)), (Err(1), Ok(()), Err(1)));
        assert_eq!([take(60_000, 1), take(60_000, 1), take(60_000, 1)], [Ok(()); 3], "saved up");
        assert_eq!(take(60_000, 1), Err(1), "but not more than the burst");
    }

    #[test]
    fn what_a_request_held_is_paid_afterwards() {
        let limiter = Limiter::new(60, 10);
        assert_eq!(limiter.charge_at(0, 1, 1, true), Ok(()));
        assert_eq!(limiter.charge_at(0, 1, 99, false), Ok(()));
        assert_eq!(limiter.charge_at(0, 1, 1, true), Err(92));
        assert_eq!(limiter.charge_at(91_000, 1, 1, true), Ok(()));
    }

    #[test]
    fn a_million_addresses_take_no_more_memory_than_some_thousands() {
        let limiter = Limiter::new(60, 2);
        for client in 0..1_000_000 {
            assert_eq!(limiter.charge_at(0, client, 1, true), Ok(()));
        }
        let buckets = limiter.buckets.lock().unwrap();
        assert!(buckets.len() <= limits::LIMITED_CLIENTS_MAX);
        assert!(buckets.capacity() <= 2 * limits::LIMITED_CLIENTS_MAX, "{}", buckets.capacity());
    }

    #[test]
    fn zero_is_no_limit_and_a_household_is_one_client() {
        let limiter = Limiter::new(0, 1);
        assert!((0..10).all(|_| limiter.take(1).is_ok()));
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
