//! Segments against the rows they were made of: written, merged under moved identities, looked up one by one, and damaged.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::build::{Build, HashId, write_rows};
use super::merge::{Merge, find_movers, gather, merge_segments, moved_since};
use super::sieve::Sieve;
use super::writer::SegmentFile;
use super::{Segment, chunk_of};
use crate::disk::{Bytes, RealVfs, Vfs};
use crate::model::{NameId, Number, PropertyId, Value};
use crate::store::lookup;
use crate::store::memtable::Memtable;
use crate::store::packed::PackedRows;
use crate::store::persons::Persons;
use crate::store::row::{Row, put_property};
use crate::store::values::Table;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// So many bytes of no meaning (xorshift).
pub(super) fn noise(random: &mut u64, bytes: usize) -> Vec<u8> {
    let mut byte = || {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random as u8
    };
    (0..bytes).map(|_| byte()).collect()
}

fn random_row(random: &mut Random, identities: u32) -> Row {
    let mut properties = Vec::new();
    if random.below(9) == 0 {
        let id = format!("id-{}", random.below(1 << 30));
        put_property(PropertyId::RECORD_ID, Value::Text(id).as_ref(), &mut properties);
    }
    for property in 3..6 {
        let value = match random.below(4) {
            0 => Value::Number(Number::new(i128::from(random.below(50)) - 25, 1)),
            1 => Value::Text(format!("value {}", random.below(300))),
            2 => Value::Bool(random.below(2) == 0),
            _ => continue,
        };
        put_property(PropertyId(property), value.as_ref(), &mut properties);
    }
    let name = NameId(random.below(6) as u32);
    let identify = name == NameId::IDENTIFY;
    Row {
        name,
        identity: random.below(u64::from(identities)) as u32,
        time: 1_700_000_000_000 + random.below(1000) as i64 * 500,
        target: if identify { random.below(u64::from(identities)) as u32 } else { 0 },
        arrival: if name.is_event() { 0 } else { random.below(1 << 40) },
        properties: properties.as_slice().into(),
    }
}

/// Every row of a segment, with the person it is stored under, as text.
fn rows_of(segment: &Segment) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let none = vec![roaring::RoaringBitmap::new()];
    let segments = [Arc::new(Segment::parse(segment.name(), segment_bytes(segment)).unwrap())];
    for entry in &segment.directory().names {
        let name = NameId(entry.name);
        for chunk in &entry.chunks {
            for found in gather(&segments, &none, name, chunk.chunk, None).unwrap() {
                let block = segment.block_of(segment.find_name(name).unwrap(), chunk.chunk).unwrap().unwrap();
                let properties = lookup::properties_of(segment, &block, found.row as usize).unwrap();
                let row = found.row as usize;
                let owner = segment.owner_of_row(&block, row).unwrap();
                let arrival = if name.is_event() { 0 } else { block.arrival(row, found.time) };
                let target = if name == NameId::IDENTIFY { block.target(row, owner) } else { 0 };
                let own = (found.time, arrival, target);
                out.insert(format!("{name:?} {} {} {own:?} {properties:?}", found.person, found.identity));
            }
        }
    }
    out
}

thread_local! {
    static BYTES: std::cell::RefCell<Vec<(String, Bytes)>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn segment_bytes(segment: &Segment) -> Bytes {
    BYTES.with_borrow(|all| all.iter().rev().find(|(n, _)| n == segment.name()).unwrap().1.clone())
}

fn open(vfs: &dyn Vfs, name: &str, length: u64) -> Segment {
    BYTES.with_borrow_mut(|all| all.push((name.to_owned(), vfs.open(name).unwrap())));
    Segment::open(vfs, name, length).unwrap()
}

fn expected(rows: &[Row], persons: &Persons) -> BTreeSet<String> {
    let text = |row: &Row| {
        let properties: Vec<_> = row.properties().map(|(p, v)| (p, v.to_owned())).collect();
        let own = (row.time, row.arrival, row.target);
        format!("{:?} {} {} {own:?} {properties:?}", row.name, persons.person_of(row.identity), row.identity)
    };
    rows.iter().map(text).collect()
}

/// Writes a segment of rows that came in pieces, on so many threads.
fn write(
    vfs: &RealVfs,
    name: &str,
    pieces: &[&[Row]],
    persons: &Persons,
    hash_id: HashId<'_>,
    threads: usize,
) -> SegmentFile {
    let mut table = Memtable::default();
    pieces.iter().for_each(|rows| table.add(rows.to_vec()));
    let mut values = Table::new(5);
    let rows = PackedRows::of(&table, &mut values);
    let build = Build { vfs, name, rows: &rows, values: &values, persons, secret: 5, hash_id, threads };
    let (file, repeated) = write_rows(&build).unwrap();
    assert_eq!(repeated, 0, "what was in a memtable is no duplicate");
    file
}

/// Merges segments into `seg-9`.
fn merge_all(
    vfs: &RealVfs,
    persons: &Persons,
    hash_id: HashId<'_>,
    segments: &[Arc<Segment>],
) -> SegmentFile {
    let (sieve, cancelled) = (Sieve::default(), || false);
    let job = Merge {
        vfs,
        name: "seg-9",
        persons,
        secret: 5,
        hash_id,
        sieve: &sieve,
        threads: 2,
        cancelled: &cancelled,
    };
    merge_segments(&job, segments).unwrap()
}

#[test]
fn written_and_merged_segments_hold_the_rows_under_the_persons_of_their_version() {
    let dir = tempfile::tempdir().unwrap();
    let vfs = RealVfs::new(dir.path()).unwrap();
    let mut random = Random(11);
    let mut persons = Persons::default();
    // Identities in three chunks, so that merges cross the borders of blocks.
    const IDENTITIES: u32 = 140_000;
    for _ in 0..IDENTITIES {
        persons.add();
    }
    let hash = |id: &str| id.len() as u64 + id.bytes().map(u64::from).sum::<u64>();
    let (mut all, mut segments) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let rows: Vec<Row> = (0..3000).map(|_| random_row(&mut random, IDENTITIES)).collect();
        let name = format!("seg-{number}");
        let pieces: Vec<&[Row]> = rows.chunks(700).collect();
        let file = write(&vfs, &name, &pieces, &persons, &hash, number);
        let segment = open(&vfs, &name, file.bytes);
        assert_eq!(rows_of(&segment), expected(&rows, &persons));
        assert!(segment.check().is_empty());
        for row in &rows {
            assert!(lookup::contains(&segment, &persons, 5, row).unwrap(), "{row:?}");
            let other = Row { time: row.time + 1, ..row.clone() };
            assert_eq!(
                lookup::contains(&segment, &persons, 5, &other).unwrap(),
                rows.iter().any(|r| r.says_the_same(&other))
            );
            if let Some(id) = row.record_id() {
                assert!(lookup::contains_record_id(&segment, id, hash(id)).unwrap());
            }
        }
        segments.push(Arc::new(segment));
        all.extend(rows);
        for _ in 0..400 {
            let (a, b) = (random.below(140_000) as u32, random.below(140_000) as u32);
            if random.below(5) == 0 {
                persons.unmerge(a);
            } else {
                persons.merge(a, b);
            }
        }
        // Look-ups see through moves that the segment knows nothing of.
        assert!(all.iter().all(|r| segments.iter().any(|s| lookup::contains(s, &persons, 5, r).unwrap())));
    }
    let moved: Vec<_> = segments.iter().map(|s| moved_since(&persons, s.identity_version())).collect();
    let movers = find_movers(&persons, &segments, &moved, NameId(3)).unwrap();
    assert!(!movers.is_empty() && movers.is_sorted_by_key(|f| f.person));
    let file = merge_all(&vfs, &persons, &hash, &segments);
    let merged = open(&vfs, "seg-9", file.bytes);
    assert_eq!(rows_of(&merged), expected(&all, &persons));
    assert_eq!(file.rows as usize, all.len());
    assert!(all.iter().all(|r| lookup::contains(&merged, &persons, 5, r).unwrap()));
    let ids: Vec<&str> = all.iter().filter_map(Row::record_id).collect();
    assert!(ids.iter().all(|id| lookup::contains_record_id(&merged, id, hash(id)).unwrap()));
    assert!(!lookup::contains_record_id(&merged, "id-none", hash("id-none")).unwrap());
    for row in all.iter().filter(|r| r.name.is_event()) {
        let person = persons.person_of(row.identity);
        let members = merged.members_of(chunk_of(person)).unwrap().unwrap();
        let rank = members.rank_of((person & 0xffff) as u16).unwrap();
        let times = all
            .iter()
            .filter(|r| r.name.is_event() && persons.person_of(r.identity) == person)
            .map(|r| r.time);
        assert_eq!(members.events(rank), Some(times.clone().count() as u64));
        assert_eq!(members.seen(rank), Some((times.clone().min().unwrap(), times.max().unwrap())));
    }
}

#[test]
fn a_damaged_file_gives_an_error_and_never_other_rows() {
    let dir = tempfile::tempdir().unwrap();
    let vfs = RealVfs::new(dir.path()).unwrap();
    let mut random = Random(3);
    let mut persons = Persons::default();
    for _ in 0..40 {
        persons.add();
    }
    let rows: Vec<Row> = (0..60).map(|_| random_row(&mut random, 40)).collect();
    let file = write(&vfs, "seg-0", &[&rows], &persons, &|id| id.len() as u64, 1);
    let good = vfs.open("seg-0").unwrap().to_vec();
    assert_eq!(good.len() as u64, file.bytes);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let found = match Segment::parse("seg-0", Bytes::from_vec(bad)) {
            Err(_) => 1,
            Ok(segment) => segment.check().len(),
        };
        assert!(found > 0, "bit {bit} of {}", good.len() * 8);
    }
    for cut in 0..good.len() {
        assert!(Segment::parse("seg-0", Bytes::from_vec(good[..cut].to_vec())).is_err());
    }
}
