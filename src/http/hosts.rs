//! Which `Host` names this server answers to. A page of a foreign name that was pointed at our address (DNS
//! rebinding) could otherwise read from it with the visitor's browser.

use std::net::{IpAddr, SocketAddr};

/// The names of this server.
#[derive(Debug)]
pub(super) struct Hosts {
    bound: IpAddr,
    names: Vec<String>,
}

impl Hosts {
    /// Loopback names, the address bound, and `names`.
    pub fn new(bound: SocketAddr, names: &[String]) -> Self {
        Self { bound: bound.ip(), names: names.iter().map(|name| bare(name)).collect() }
    }

    /// Whether the value of a `Host` header names this server. Without one (HTTP/1.0) no browser is at work.
    pub fn allows(&self, host: Option<&str>) -> bool {
        let Some(host) = host.map(bare) else { return true };
        if host == "localhost" || host.ends_with(".localhost") || self.names.contains(&host) {
            return true;
        }
        let Ok(address) = host.parse::<IpAddr>() else { return false };
        // An address cannot be rebound; on a socket bound to all of them any may be ours.
        address.is_loopback() || address == self.bound || self.bound.is_unspecified()
    }
}

/// In lower case, without port, brackets and final dot.
fn bare(host: &str) -> String {
    let host = host.trim();
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
            _ => host,
        },
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_not_ours() {
        let hosts = Hosts::new("192.168.1.5:80".parse().unwrap(), &["Stats.Example.com:443".to_owned()]);
        for ours in [
            "localhost:8080",
            "LOCALHOST",
            "app.localhost",
            "127.0.0.1",
            "[::1]:80",
            "192.168.1.5:80",
            "stats.example.com.",
        ] {
            assert!(hosts.allows(Some(ours)), "{ours}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil", "", "a:b:80"]
        {
            assert!(!hosts.allows(Some(foreign)), "{foreign}");
        }
        assert!(Hosts::new("0.0.0.0:80".parse().unwrap(), &[]).allows(Some("10.0.0.1:80")));
    }
}
