//! Browsers and devices of people: what a browser says of itself is set as properties of the person when it is new, and not again with
//! every record. What is remembered is lost with the process; then it is set once more, which changes nothing (S14).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::engine::Snapshot;
use crate::enrich;
use crate::error::Result;
use crate::limits;
use crate::model::{Millis, Record, RecordKind, Value};

/// A record and what the browser that sent it calls itself, if it did.
#[derive(Debug)]
pub struct Sent {
    /// The record.
    pub record: Record,
    /// Of the browser of the person, and of no server that sends for them.
    pub agent: Option<String>,
}

/// Identities of a person that are counted: who has more is known well enough.
const MEMBERS_COUNTED: usize = 64;

/// What was told last of a person.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// A hash of the user agent.
    agent: u64,
    /// When it was told for.
    since: Millis,
    /// The latest time of which it is known to hold.
    until: Millis,
}

impl Told {
    /// Whether a record with this user agent says nothing new.
    fn covers(&mut self, agent: u64, time: Millis) -> bool {
        let covers = self.agent == agent && time >= self.since;
        if covers {
            self.until = self.until.max(time);
        }
        covers
    }

    /// What is known once `next` was told as well. Of another user agent that came late nothing is: that this one was seen again
    /// behind it is written nowhere, so it is news when it comes next.
    fn then(self, next: Self) -> Option<Self> {
        if self.agent == next.agent {
            return Some(Self {
                since: self.since.min(next.since),
                until: self.until.max(next.until),
                ..self
            });
        }
        (next.since >= self.until).then_some(next)
    }
}

/// What is to be told with some records, and remembered once it is stored: of a person by an identity, if anything is sure.
#[derive(Debug, Default)]
pub struct News(HashMap<u64, (String, Option<Told>)>);

/// Which people had which user agent lately.
#[derive(Debug, Default)]
pub struct Agents {
    hasher: RandomState,
    /// People of now and of before: when the first are many enough they replace the second.
    recent: Mutex<[HashMap<u64, Told>; 2]>,
}

impl Agents {
    /// What `record` tells of the browser of the person, which calls itself `agent`, if that was not told lately, here or in `news`.
    /// `now` is its time if it has none.
    pub fn news(
        &self,
        record: &Record,
        agent: Option<&str>,
        snapshot: &Snapshot,
        now: Millis,
        news: &mut News,
    ) -> Result<Option<Record>> {
        let Some(agent) = agent.filter(|_| record.kind != RecordKind::Identify) else { return Ok(None) };
        let (identity, time) = (record.identity.as_str(), record.time.unwrap_or(now));
        let (key, hash) = (self.key(snapshot, identity)?, self.hasher.hash_one(agent));
        let known = match news.0.get_mut(&key) {
            Some((_, told)) => told.as_mut().is_some_and(|told| told.covers(hash, time)),
            None => self.covers(key, hash, time),
        };
        if known {
            return Ok(None);
        }
        let own =
            |name: &str| record.kind == RecordKind::Set && record.properties.iter().any(|(n, _)| n == name);
        // Whoever sets such a property knows better.
        let properties: Vec<_> = enrich::properties(agent)
            .into_iter()
            .filter(|(name, _)| !own(name))
            .map(|(name, value)| (name.to_owned(), Value::Text(value)))
            .collect();
        if properties.is_empty() {
            return Ok(None);
        }
        let next = Told { agent: hash, since: time, until: time };
        let before = news.0.get(&key).map(|(_, told)| *told);
        let sure = before.map_or(Some(next), |told| told.and_then(|told| told.then(next)));
        news.0.insert(key, (identity.to_owned(), sure));
        Ok(Some(Record {
            kind: RecordKind::Set,
            name: String::new(),
            properties,
            id: None,
            ..record.clone()
        }))
    }

    /// What was told is stored. `snapshot` knows who it is of.
    pub fn remember(&self, news: News, snapshot: &Snapshot) -> Result<()> {
        for (identity, told) in news.0.into_values() {
            let key = self.key(snapshot, &identity)?;
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let [now, before] = &mut *recent;
            let known = now.remove(&key).or(before.remove(&key));
            let sure = told.and_then(|told| known.map_or(Some(told), |known| known.then(told)));
            let Some(sure) = sure else { continue };
            if now.len() >= limits::AGENTS_REMEMBERED {
                *before = std::mem::take(now);
            }
            now.insert(key, sure);
        }
        Ok(())
    }

    fn covers(&self, key: u64, agent: u64, time: Millis) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter_mut().find_map(|people| people.get_mut(&key)).is_some_and(|told| told.covers(agent, time))
    }

    /// Of a person, who is another one with more identities: each may have had another browser last. Who is not stored yet has only
    /// the identity, which nothing is remembered of.
    fn key(&self, snapshot: &Snapshot, identity: &str) -> Result<u64> {
        Ok(match snapshot.find_person(identity)? {
            Some(person) => {
                self.hasher.hash_one((person, snapshot.persons.count_members(person, MEMBERS_COUNTED)))
            }
            None => self.hasher.hash_one(identity),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Options};
    use crate::model::Admission;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

    fn sent(identity: &str, kind: RecordKind, agent: &str, time: Millis) -> Sent {
        let properties =
            vec![("Plan".to_owned(), Value::from("Pro")), (enrich::DEVICE.to_owned(), Value::from("Fridge"))];
        let (identity, name) = (identity.to_owned(), "x".to_owned());
        Sent {
            record: Record {
                kind,
                identity,
                name,
                time: Some(limits::TIME_MIN_MS + time),
                properties,
                id: None,
            },
            agent: Some(agent.to_owned()),
        }
    }

    struct Place {
        agents: Agents,
        engine: Engine,
        _dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let engine = Engine::open(dir.path(), Options::default()).unwrap();
            Self { agents: Agents::default(), engine, _dir: dir }
        }

        fn asked(&self, sent: &Sent) -> (Option<Record>, News) {
            let mut news = News::default();
            let snapshot = self.engine.snapshot();
            let told =
                self.agents.news(&sent.record, sent.agent.as_deref(), &snapshot, 0, &mut news).unwrap();
            (told, news)
        }

        /// Stores it with what it tells; whether it told anything.
        fn told(&self, identity: &str, agent: &str, time: Millis) -> bool {
            let sent = sent(identity, RecordKind::Event, agent, time);
            let (told, news) = self.asked(&sent);
            let is_news = told.is_some();
            let records = [sent.record].into_iter().chain(told);
            let checked =
                records.map(|record| record.checked(Admission::usual(limits::TIME_MIN_MS)).unwrap());
            self.engine.write(checked.collect()).unwrap();
            self.agents.remember(news, &self.engine.snapshot()).unwrap();
            is_news
        }
    }

    #[test]
    fn it_is_told_once_and_again_when_it_changed() {
        let place = Place::new();
        let event = sent("jane", RecordKind::Event, FIREFOX, 7);
        let record = place.asked(&event).0.unwrap();
        assert_eq!(
            (record.kind, record.identity.as_str(), record.time, &record.id),
            (RecordKind::Set, "jane", Some(limits::TIME_MIN_MS + 7), &None)
        );
        assert_eq!(record.properties.len(), 4, "what was done says nothing of the person: {record:?}");
        let of = |kind, agent| place.asked(&sent("eve", kind, agent, 7)).0;
        assert!(of(RecordKind::Identify, FIREFOX).is_none() && of(RecordKind::Event, "curl/8").is_none());
        let set = of(RecordKind::Set, FIREFOX).unwrap();
        assert!(set.properties.iter().all(|(name, _)| name != enrich::DEVICE), "{set:?}");
        let newer = FIREFOX.replace("128", "129");
        let all = [
            ("jane", FIREFOX, 7, true),
            ("jane", FIREFOX, 8, false),
            ("ben", FIREFOX, 8, true),
            ("jane", &newer, 9, true),
            ("jane", FIREFOX, 10, true),
            ("jane", FIREFOX, 20, false),
            ("jane", FIREFOX, 19, false),
            // Late: from then on, and something else in between.
            ("jane", FIREFOX, 9, true),
            ("jane", &newer, 15, true),
            ("jane", FIREFOX, 30, true),
            ("jane", FIREFOX, 31, false),
        ];
        for (identity, agent, time, is_news) in all {
            assert_eq!(place.told(identity, agent, time), is_news, "{identity} {time}");
        }
        place.engine.erase(&["ben".to_owned()]).unwrap();
        assert!(place.told("ben", FIREFOX, 40), "it is somebody new's");
    }

    #[test]
    fn a_person_has_the_browser_of_whichever_identity_sent_last() {
        let place = Place::new();
        assert!(place.told("desk", FIREFOX, 10) && place.told("phone", ROBOT, 20));
        let join = sent("desk", RecordKind::Identify, FIREFOX, 25).record;
        place.engine.write(vec![Record { name: "phone".into(), properties: Vec::new(), ..join }]).unwrap();
        assert!(place.told("desk", FIREFOX, 30) && !place.told("phone", FIREFOX, 35));
        assert!(place.told("phone", ROBOT, 40) && place.told("desk", FIREFOX, 50));
        // The same within one batch.
        let mut news = News::default();
        let snapshot = place.engine.snapshot();
        let batch =
            [("desk", FIREFOX, 60), ("phone", ROBOT, 70), ("phone", ROBOT, 80), ("desk", FIREFOX, 90)];
        let told = batch.map(|(identity, agent, time)| {
            let sent = sent(identity, RecordKind::Event, agent, time);
            let agent = sent.agent.as_deref();
            place.agents.news(&sent.record, agent, &snapshot, 0, &mut news).unwrap().is_some()
        });
        assert_eq!(told, [false, true, false, true]);
    }

    #[test]
    fn memory_is_bounded() {
        let place = Place::new();
        let snapshot = place.engine.snapshot();
        for n in 0..3 * limits::AGENTS_REMEMBERED {
            let told = Told { agent: 1, since: 0, until: 0 };
            let news = News(HashMap::from([(0, (n.to_string(), Some(told)))]));
            place.agents.remember(news, &snapshot).unwrap();
        }
        let recent = place.agents.recent.lock().unwrap();
        assert_eq!(recent.each_ref().map(HashMap::len), [limits::AGENTS_REMEMBERED; 2]);
    }
}
