//! Browsers and devices of people: what a browser says of itself is set as properties of the person when it is new, and not again with
//! every record. What is remembered is lost with the process; then it is set once more, which changes nothing (S14).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::enrich;
use crate::limits;
use crate::model::{Record, RecordKind, Value};

/// A record and what the browser that sent it calls itself, if it did.
#[derive(Debug)]
pub struct Sent {
    /// The record.
    pub record: Record,
    /// Of the browser of the person, and of no server that sends for them.
    pub agent: Option<String>,
}

/// Hashes of an identity and of its user agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen(u64, u64);

/// Which identities had which user agent lately.
#[derive(Debug, Default)]
pub struct Agents {
    hasher: RandomState,
    /// Identities of now and of before: when the first are many enough they replace the second.
    recent: Mutex<[HashMap<u64, u64>; 2]>,
}

impl Agents {
    /// What `sent` tells of the person's browser, if that was not told lately.
    pub fn news(&self, sent: &Sent) -> Option<(Seen, Record)> {
        let (record, agent) = (&sent.record, sent.agent.as_deref()?);
        if record.kind == RecordKind::Identify {
            return None;
        }
        let seen = Seen(self.hasher.hash_one(record.identity.trim()), self.hasher.hash_one(agent));
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = recent.iter().find_map(|identities| identities.get(&seen.0));
        if known == Some(&seen.1) {
            return None;
        }
        drop(recent);
        let own =
            |name: &str| record.kind == RecordKind::Set && record.properties.iter().any(|(n, _)| n == name);
        // Whoever sets such a property knows better.
        let properties: Vec<_> = enrich::properties(agent)
            .into_iter()
            .filter(|(name, _)| !own(name))
            .map(|(name, value)| (name.to_owned(), Value::Text(value)))
            .collect();
        let new =
            Record { kind: RecordKind::Set, name: String::new(), properties, id: None, ..record.clone() };
        (!new.properties.is_empty()).then_some((seen, new))
    }

    /// What was told is stored.
    pub fn remember(&self, seen: Seen) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let [now, before] = &mut *recent;
        if now.len() >= limits::AGENTS_REMEMBERED {
            *before = std::mem::take(now);
        }
        now.insert(seen.0, seen.1);
    }

    /// What was told of these identities is gone: it is news again.
    pub fn forget<'a>(&self, identities: impl IntoIterator<Item = &'a String>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for identity in identities {
            let identity = self.hasher.hash_one(identity.as_str());
            for known in recent.iter_mut() {
                known.remove(&identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

    fn sent(identity: &str, kind: RecordKind, agent: &str) -> Sent {
        let properties =
            vec![("Plan".to_owned(), Value::from("Pro")), (enrich::DEVICE.to_owned(), Value::from("Fridge"))];
        let (identity, name) = (identity.to_owned(), "x".to_owned());
        Sent {
            record: Record { kind, identity, name, time: Some(7), properties, id: Some("i".to_owned()) },
            agent: Some(agent.to_owned()),
        }
    }

    #[test]
    fn it_is_told_once_and_again_when_it_changed() {
        let agents = Agents::default();
        let event = sent("jane", RecordKind::Event, FIREFOX);
        let (seen, record) = agents.news(&event).unwrap();
        assert_eq!(
            (record.kind, record.identity.as_str(), record.time, &record.id),
            (RecordKind::Set, "jane", Some(7), &None)
        );
        assert_eq!(record.properties.len(), 4, "what was done says nothing of the person: {record:?}");
        assert!(agents.news(&event).is_some(), "until it is stored");
        agents.remember(seen);
        assert!(agents.news(&event).is_none());
        assert!(agents.news(&sent("jane", RecordKind::Event, &FIREFOX.replace("128", "129"))).is_some());
        assert!(agents.news(&sent("ben", RecordKind::Event, FIREFOX)).is_some());
        assert!(agents.news(&sent("eve", RecordKind::Identify, FIREFOX)).is_none());
        assert!(agents.news(&sent("eve", RecordKind::Event, "curl/8")).is_none());
        agents.forget(&["jane".to_owned()]);
        assert!(agents.news(&event).is_some(), "it is somebody new's");
        let (_, set) = agents.news(&sent("ben", RecordKind::Set, FIREFOX)).unwrap();
        assert!(set.properties.iter().all(|(name, _)| name != enrich::DEVICE), "{set:?}");
    }

    #[test]
    fn memory_is_bounded() {
        let agents = Agents::default();
        for n in 0..3 * limits::AGENTS_REMEMBERED as u64 {
            agents.remember(Seen(n, 1));
        }
        let recent = agents.recent.lock().unwrap();
        assert_eq!(recent.each_ref().map(HashMap::len), [limits::AGENTS_REMEMBERED; 2]);
    }
}
