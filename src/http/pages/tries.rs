//! Failed log-ins, counted by address, so that nobody guesses for long and nobody can lock others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits;

const SPAN: Duration = Duration::from_secs(60);

/// How often each address failed, and since when.
#[derive(Default)]
pub struct Tries(HashMap<IpAddr, (u32, Instant)>);

impl Tries {
    /// Counts a try that has not succeeded yet; false if its address has to wait.
    pub fn begin(&mut self, peer: IpAddr, now: Instant) -> bool {
        let address = network(peer);
        let known = self.0.get(&address).copied().filter(|(_, since)| now.duration_since(*since) < SPAN);
        let (count, since) = known.unwrap_or((0, now));
        if count >= limits::LOGINS_FAILED_MAX {
            return false;
        }
        if known.is_none() && self.0.len() >= limits::LOGIN_ADDRESSES_MAX {
            self.make_room(now);
        }
        self.0.insert(address, (count + 1, since));
        true
    }

    /// The last one succeeded. Those that failed before it still count: with an account of one's own one could guess at others for ever.
    pub fn succeeded(&mut self, peer: IpAddr) {
        if let Some((count, _)) = self.0.get_mut(&network(peer)) {
            *count = count.saturating_sub(1);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, (_, since)| now.duration_since(*since) < SPAN);
        if self.0.len() >= limits::LOGIN_ADDRESSES_MAX
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, (_, since))| *since).map(|(address, _)| *address)
        {
            self.0.remove(&oldest);
        }
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_waits_and_nobody_else() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..limits::LOGINS_FAILED_MAX {
            assert!(tries.begin(address("2001:db8::1"), now));
        }
        assert!(!tries.begin(address("2001:db8::2"), now), "one network");
        assert!(tries.begin(address("2001:db8:0:1::1"), now) && tries.begin(address("10.0.0.1"), now));
        assert!(tries.begin(address("2001:db8::1"), now + SPAN), "a minute later");
        for _ in 0..100 {
            assert!(tries.begin(address("10.0.0.2"), now));
            tries.succeeded(address("10.0.0.2"));
        }
        for _ in 1..limits::LOGINS_FAILED_MAX {
            assert!(tries.begin(address("10.0.0.2"), now));
        }
        assert!(tries.begin(address("10.0.0.2"), now));
        tries.succeeded(address("10.0.0.2"));
        assert!(tries.begin(address("10.0.0.2"), now), "it was the guesser's own");
        assert!(!tries.begin(address("10.0.0.2"), now), "guesses count all the same");
        for n in 0..u32::try_from(2 * limits::LOGIN_ADDRESSES_MAX).unwrap() {
            assert!(tries.begin(IpAddr::from((n + (11 << 24)).to_be_bytes()), now));
        }
        assert_eq!(tries.0.len(), limits::LOGIN_ADDRESSES_MAX);
    }
}
