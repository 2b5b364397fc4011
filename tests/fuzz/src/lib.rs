//! What is fuzzed: every decoder of bytes that come from a disk or from a network. Nothing here may panic, whatever the bytes are.
//!
//! Checksums of small files are put right first, so that the bytes get past them to the decoder itself.

use std::io::Read;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use whodid::app::backups::Content;
use whodid::app::{Accounts, App, Reports, StoredKeys};
use whodid::disk::Bytes;
use whodid::disk::bits::Packed;
use whodid::disk::codec::{self, Reader};
use whodid::disk::frame::{FrameAt, read_frame, read_single, write_single};
use whodid::engine::{Engine, Options, Snapshot};
use whodid::enrich;
use whodid::http::Handler;
use whodid::http::api::Api;
use whodid::http::auth::KeyHash;
use whodid::http::message::{Headers, Method, Request, decode_segment};
use whodid::http::projects::Projects;
use whodid::http::router::{self, Found};
use whodid::http::{collect, read_head};
use whodid::model::{Admission, Json, Line, PropertyId, RecordKind, RecordRef};
use whodid::report::{Cohort, Funnel, Lifecycle, Paths, People, Revenue, Saved, Trend, channel, params};
use whodid::store::catalog::Catalog;
use whodid::store::entry::{Entry, put_entry, read_entry};
use whodid::store::erasures::{ERASED_MAGIC, Erasures};
use whodid::store::identity_file::{IDENTITIES_FOOTER_BYTES, IdentityFile, hash_identity};
use whodid::store::manifest::{Checkpoint, MANIFEST_MAGIC, Manifest};
use whodid::store::persons::Persons;
use whodid::store::refusals::Refusals;
use whodid::store::segment::block::{Around, Block};
use whodid::store::segment::clock::Clock;
use whodid::store::segment::dictionary::Dictionary;
use whodid::store::segment::low_ids::LowIds;
use whodid::store::segment::members::{MemberTable, Members};
use whodid::store::segment::{Directory, FOOTER_BYTES, Section, Segment, Version};
use whodid::store::wal::read_wal;
use whodid::testing::disk::SimDisk;
use whodid::testing::random;
use whodid::transfer::{csv, kissmetrics, lines, ndjson, plain, segment, unpack};

const NOW: i64 = 1_800_000_000_000;

/// Little-endian numbers at the begin of the input steer it; the rest is content.
fn steer(bytes: &[u8]) -> (u32, &[u8]) {
    match bytes.split_first_chunk::<4>() {
        Some((begin, rest)) => (u32::from_le_bytes(*begin), rest),
        None => (0, bytes),
    }
}

pub fn frame(bytes: &[u8]) {
    let (sequence, bytes) = steer(bytes);
    let mut at = 0;
    let mut next_sequence = u64::from(sequence);
    while let FrameAt::Frame { payload, next } = read_frame(bytes, at, next_sequence, 1 << 20) {
        assert!(next > at && payload.len() < next - at);
        (at, next_sequence) = (next, next_sequence + 1);
    }
    let _ = read_single("f", bytes, MANIFEST_MAGIC);
    let written = write_single(MANIFEST_MAGIC, bytes).unwrap();
    assert_eq!(read_single("f", &written, MANIFEST_MAGIC).unwrap(), bytes);
}

pub fn log(bytes: &[u8]) {
    let number =
        |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    if let Ok(Some(content)) = read_wal("wal", bytes, number(8), number(16)) {
        assert!(content.payloads.iter().all(|payload| payload.end <= bytes.len()));
    }
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let Some(entry) = read_entry(&mut reader) else { break };
        let rows = matches!(entry, Entry::Row(_));
        let mut written = Vec::new();
        put_entry(&entry, &mut written);
        let again = read_entry(&mut Reader::new(&written));
        assert!(rows || again.as_ref() == Some(&entry), "{entry:?} became {again:?}");
    }
}

pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = codec::decode::<Manifest>("MANIFEST", bytes) {
        assert!(manifest.files().count() <= bytes.len());
    }
    // The other small files of one frame.
    let _ = codec::decode::<Content>("BACKUP", bytes);
    let _ = Erasures::parse("ERASED", &write_single(ERASED_MAGIC, bytes).unwrap());
}

pub fn checkpoint(bytes: &[u8]) {
    let Ok(checkpoint) = codec::decode::<Checkpoint>("state", bytes) else { return };
    let catalog = Catalog::from_image(checkpoint.catalog);
    assert!(catalog.counts().0 <= bytes.len());
    let _ = Refusals::from_image(checkpoint.refusals).counts();
    let Some(mut persons) = Persons::from_image(&checkpoint.persons) else { return };
    let last = persons.identities();
    for (a, b) in [(0, 1), (1, 0), (last.saturating_sub(1), 0)] {
        if a < last && b < last {
            persons.identify(a, b);
            persons.merge(a, b);
            persons.unmerge(a);
        }
    }
}

pub fn identities(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let _ = put_identities_right(&mut bytes);
    let Ok(file) = IdentityFile::open("ids", Bytes::from_vec(bytes)) else { return };
    let _ = file.find("jane@example.com", hash_identity((1, 2), b"jane@example.com"));
    for id in file.first()..file.first().saturating_add(file.count().min(100)) {
        let _ = file.get(id);
    }
    let _ = file.for_each(|_| Ok(()));
}

/// Makes the checksums of a file of identities right, as far as what they cover is there.
fn put_identities_right(bytes: &mut [u8]) -> Option<()> {
    let footer = bytes.len().checked_sub(IDENTITIES_FOOTER_BYTES)?;
    let mut reader = Reader::new(bytes.get(footer + 4..)?);
    let (count, _, offsets_at, width) = (reader.u32()?, reader.u64()?, reader.u64()?, reader.u8()?);
    let (offsets_at, blocks) = (usize::try_from(offsets_at).ok()?, count.div_ceil(32) as usize);
    let offsets = Packed::new(bytes.get(offsets_at..footer)?, blocks + 1, width)?;
    let ends: Vec<usize> = (0..=blocks.min(64)).map(|block| offsets.get(block) as usize).collect();
    let mut put = |at: usize, from: usize, to: usize| {
        let crc = bytes.get(from..to).map(crc32);
        let place = bytes.get_mut(at..).and_then(|place| place.first_chunk_mut::<4>());
        if let (Some(crc), Some(place)) = (crc, place) {
            *place = crc.to_le_bytes();
        }
    };
    for block in
        ends.windows(2).filter(|block| 8 <= block[0] && block[0] <= block[1] && block[1] <= offsets_at)
    {
        put(block[0], block[0] + 4, block[1]);
    }
    put(footer + 36, offsets_at, footer);
    put(footer + 40, footer, footer + 40);
    Some(())
}

pub fn segment(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let _ = put_right(&mut bytes);
    let Ok(segment) = Segment::parse("seg", Bytes::from_vec(bytes)) else { return };
    let _ = segment.check();
    let names = segment.directory().names.len().min(8);
    for name in 0..names {
        let _ = segment.persons(name);
        let chunks = segment.name_entry(name).map_or(0, |entry| entry.chunks.len().min(8));
        for chunk in 0..chunks {
            if let Ok(block) = segment.block(name, chunk) {
                walk(&block);
            }
        }
    }
    for at in 0..4 {
        let _ = segment.dictionary(PropertyId(at));
        let _ = segment.members(at as usize);
    }
    let _ = segment.slot_of(1, 1);
    let _ = segment.may_contain(7);
    let _ = segment.record_ids(7);
}

/// Makes the checksums of a segment right, as far as what they cover is there.
fn put_right(bytes: &mut [u8]) -> Option<()> {
    let footer = bytes.len().checked_sub(FOOTER_BYTES)?;
    let mut reader = Reader::new(bytes.get(footer..)?);
    let offset = usize::try_from(reader.u64()?).ok()?;
    let end = offset.checked_add(usize::try_from(reader.u64()?).ok()?).filter(|end| *end <= footer)?;
    let payload = bytes.get(offset..end)?;
    let has_clock = bytes.get(..8) == Some(Version::V005.magic());
    let read: Option<(Directory, Section)> = if has_clock {
        codec::decode("directory", payload).ok()
    } else {
        codec::decode("directory", payload).ok().map(|directory| (directory, Section::default()))
    };
    if let Some((mut directory, mut clock)) = read {
        let sound = |section: &mut Section| {
            let from = section.offset as usize;
            let piece = from.checked_add(section.length as usize).and_then(|to| bytes.get(from..to));
            section.crc = piece.map_or(section.crc, crc32);
        };
        sound(&mut clock);
        sound(&mut directory.filter);
        sound(&mut directory.record_ids);
        directory.members.iter_mut().for_each(|entry| sound(&mut entry.members));
        directory.properties.iter_mut().for_each(|entry| sound(&mut entry.dictionary));
        for name in &mut directory.names {
            sound(&mut name.persons);
            name.chunks.iter_mut().for_each(|chunk| sound(&mut chunk.block));
        }
        let written = if has_clock { codec::encode(&(&directory, clock)) } else { codec::encode(&directory) };
        let place = bytes.get_mut(offset..end)?;
        let written = written.ok().filter(|written| written.len() == place.len())?;
        place.copy_from_slice(&written);
    }
    let crc = crc32(bytes.get(offset..end)?).to_le_bytes();
    bytes.get_mut(footer + 16..footer + 20)?.copy_from_slice(&crc);
    Some(())
}

/// CRC-32 as files have it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

fn walk(block: &Block<'_>) {
    for rank in 0..block.persons().min(64) {
        let person = block.person(rank);
        let _ = block.rank_of(person);
        let Some(owner) = block.owner(person).or_else(|| block.owner(7)) else { continue };
        for row in block.rows_of(rank).take(64) {
            let _ = (
                block.arrival(row, block.time(row, owner)),
                block.identity(row, owner),
                block.target(row, owner),
            );
            for (_, column) in block.columns() {
                let _ = column.code(row);
            }
        }
    }
}

/// A segment's version.
fn version(steer: u32) -> Version {
    Version::ALL[steer as usize >> 24 & 3]
}

pub fn block(bytes: &[u8]) {
    let (steered, bytes) = steer(bytes);
    let (version, count) = (version(steered), steered as usize & 0x3ffff);
    // Of four persons, each with an identity of its own and one more.
    let pairs = (0..8).map(|at| (at / 2 * 7, at / 2 * 7 + at % 2 * 900, Some(1_700_000_000_000)));
    let mut members = Vec::new();
    MemberTable::new(pairs).write(0..4, &[None; 4], &mut members);
    let Some(members) = Members::parse(&members, Version::V005, 0, (4, 8)) else { return };
    let (length, bytes) = steer(bytes);
    let Some((of_clock, bytes)) = bytes.split_at_checked(length as usize & 0xff) else { return };
    let clock = Clock::parse(of_clock).unwrap_or_default();
    clock.points().take(64).for_each(drop);
    let (persons, bytes) = if version < Version::V004 {
        (None, bytes)
    } else {
        let Some((persons, rest)) = LowIds::parse(bytes, count, version) else { return };
        (Some(persons), rest)
    };
    let block = Block::parse(bytes, Around { version, persons, members, clock });
    if let Some(block) = block {
        walk(&block);
    }
}

pub fn dictionary(bytes: &[u8]) {
    let (count, bytes) = steer(bytes);
    let Some(dictionary) = Dictionary::parse(bytes, count) else { return };
    for code in (0..dictionary.len().min(64)).chain([dictionary.len(), u32::MAX]) {
        let value = dictionary.value(code);
        let _ = dictionary.find(value);
    }
}

pub fn members(bytes: &[u8]) {
    let (persons, bytes) = steer(bytes);
    let (identities, bytes) = steer(bytes);
    let version = version(persons);
    let Some(members) = Members::parse(bytes, version, 3, (persons & 0x3ffff, identities)) else { return };
    for rank in 0..members.len().min(64) {
        let _ = (members.since(rank), members.since_about(rank), members.seen(rank), members.events(rank));
        members.identities(rank).take(64).for_each(|identity| _ = identity);
        let _ = members.identity(rank, 1);
    }
    let _ = members.persons().take(64).filter_map(|low| members.rank_of(low)).count();
}

pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let saved = Saved::default();
    let _ = Funnel::from_json(text, &saved);
    let _ = Cohort::from_json(text, &saved);
    let _ = Revenue::from_json(text, &saved);
    let _ = Trend::from_json(text, &saved);
    let _ = Paths::from_json(text, &saved);
    let _ = Lifecycle::from_json(text, &saved);
    let _ = People::from_json(text, &saved);
}

const REPORTS: [&str; 13] = [
    "funnel",
    "funnel/people",
    "cohort",
    "cohort/people",
    "paths",
    "paths/people",
    "revenue",
    "revenue/people",
    "trend",
    "trend/people",
    "lifecycle",
    "lifecycle/people",
    "people",
];

/// Plays several random histories into a store, the latest of which stays in memory only.
fn play(engine: &Engine) {
    for seed in 0..12 {
        for action in random::History::random(seed) {
            match action {
                random::Action::Record(record) => {
                    if let Ok(record) = record.checked(Admission::usual(random::NOW)) {
                        engine.write(vec![record]).unwrap();
                    }
                }
                // Whom nobody has is refused.
                random::Action::Merge(a, b) => drop(engine.merge(&a, &b)),
                _ => {}
            }
        }
        if seed == 8 {
            engine.flush().unwrap();
        }
    }
}

fn some_people() -> Arc<Snapshot> {
    let engine = Engine::open_on(Arc::new(SimDisk::new()), Options::default()).unwrap();
    play(&engine);
    engine.snapshot()
}

/// Whatever is asked is refused or answered, and an answer says by its receipt how the same answer can be had again.
pub fn report(bytes: &[u8]) {
    static PEOPLE: LazyLock<(Arc<Snapshot>, Reports)> = LazyLock::new(|| (some_people(), Reports::default()));
    let Some((which, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (snapshot, reports) = &*PEOPLE;
    let report = REPORTS[usize::from(*which) % REPORTS.len()];
    let Ok(answer) = reports.answer(report, snapshot, text, random::NOW) else { return };
    let mut answer = Json::parse(&answer).expect("an answer is JSON");
    let query = answer["receipt"]["query"].to_string();
    if !report.contains('/') {
        let again = reports.answer(report, snapshot, &query, random::NOW).expect("a receipt is a query");
        let mut again = Json::parse(&again).expect("an answer is JSON");
        for field in ["elapsed_ms", "explanation"] {
            answer.remove(field);
            again.remove(field);
        }
        assert_eq!(answer, again, "{query}");
    }
}

/// A server of some people, and the cookie of somebody who is logged in.
fn server() -> (Api, String) {
    let dir = std::env::temp_dir().join(format!("whodid-fuzz-{}", std::process::id()));
    let app = Arc::new(App::open(&dir).unwrap());
    play(app.engine());
    let keys = StoredKeys::new("w".repeat(40), KeyHash::of("rk_fuzz").to_hex());
    let accounts = Accounts::load(&dir).unwrap();
    let api = Api::new(Projects::open(dir, app, &keys).unwrap(), accounts);
    let mut headers = Headers::default();
    headers.push("Sec-Fetch-Site", "same-origin");
    headers.push("Content-Type", "application/x-www-form-urlencoded");
    let log_in =
        Request { method: Method::Post, headers, body: b"key=rk_fuzz".to_vec(), ..get("/login", "") };
    let Found::Route(route) = router::find(Method::Post, "/login") else { panic!("no way to log in") };
    let reply = api.handle(route, log_in);
    let cookie = reply.headers().find(|(name, _)| *name == "Set-Cookie").expect("a cookie");
    let cookie = cookie.1.split(';').next().unwrap_or_default().to_owned();
    (api, cookie)
}

fn get(path: &str, query: &str) -> Request {
    let (path, query) = (path.to_owned(), query.to_owned());
    let (headers, peer) = (Headers::default(), IpAddr::from([127, 0, 0, 1]));
    Request { method: Method::Get, path, query, headers, body: Vec::new(), peer }
}

/// Whatever address somebody asks for who is logged in, they get a page, a file or a reason.
pub fn page(bytes: &[u8]) {
    static SERVER: LazyLock<(Api, String)> = LazyLock::new(server);
    let Ok(address) = std::str::from_utf8(bytes) else { return };
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let Found::Route(route) = router::find(Method::Get, path) else { return };
    let (api, cookie) = &*SERVER;
    let mut request = get(path, query);
    for (name, value) in [("Cookie", cookie.as_str()), ("Prefer", "return=representation")] {
        request.headers.push(name, value);
    }
    let reply = api.handle(route, request);
    assert!(reply.status < 500, "{address}: {} {}", reply.status, String::from_utf8_lossy(reply.bytes()));
}

pub fn query_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for report in ["funnel", "cohort", "revenue", "trend", "paths", "lifecycle", "people"] {
        let Ok(json) = params::read_text(report, text) else { continue };
        let map = Json::parse(&json).expect("the JSON form of a query is JSON");
        let _ = params::text(report, &map);
    }
}

pub fn tracking(bytes: &[u8]) {
    let (steer, bytes) = steer(bytes);
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut headers = Headers::default();
    headers.push("Content-Type", "application/x-www-form-urlencoded");
    let (method, query, body) = match steer % 2 {
        0 => (Method::Get, text, Vec::new()),
        _ => (Method::Post, String::new(), bytes.to_vec()),
    };
    let request =
        Request { method, path: "/e".into(), query, headers, body, peer: IpAddr::from([127, 0, 0, 1]) };
    for kind in [RecordKind::Event, RecordKind::Set, RecordKind::Identify] {
        if let Ok(record) = collect::read(kind, &request, NOW).record {
            stored(record);
        }
    }
}

/// The head of a request, its target and its parameters: what anybody may send.
pub fn head(bytes: &[u8]) {
    let Ok(request) = read_head(bytes, IpAddr::from([127, 0, 0, 1])) else { return };
    // What was read is plain: nothing that could begin a line of a log, or a header of the request that is handed on.
    let plain = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    assert!(plain(&request.path) && plain(&request.query), "{request:?}");
    assert!(request.headers.iter().all(|(name, value)| plain(name) && plain(value)), "{request:?}");
    let _ = (request.segments(), request.media_type(), request.scheme(), request.accepts_json());
    let _ = (request.parameter("a"), decode_segment(&request.query));
    if let Found::Route(route) = router::find(request.method, &request.path) {
        let _ = route.parameter(&request.path);
    }
}

/// What browsers say of themselves and of where they came from.
pub fn agent(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (enrich::properties(&text), enrich::bot::is_bot(&text));
    let _ = (channel::of_referrer(&text), channel::of_medium(&text));
}

/// What is checked means the same after it was written and read.
fn stored(line: impl Into<Line>) {
    let Ok(line) = line.into().checked(Admission::usual(NOW)) else { return };
    let mut written = Vec::new();
    ndjson::write_line(&line, &mut written);
    let again =
        ndjson::parse_line(&written).and_then(|line| line.checked(Admission::usual(NOW))).expect("it reads its own writing");
    assert_eq!(again, line, "{}", String::from_utf8_lossy(&written));
}

pub fn segment_api(bytes: &[u8]) {
    let Ok(text) = unpack::decode(bytes, |_| true) else { return };
    for kind in [None, segment::Kind::parse("track"), segment::Kind::parse("identify")] {
        let Ok(messages) = segment::read(&text, kind, Admission::usual(NOW)) else { continue };
        for record in messages.into_iter().flatten().flat_map(|message| message.records) {
            stored(record);
        }
    }
}

pub fn ndjson(bytes: &[u8]) {
    // What the reader of usual lines takes, the other reads alike.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let mut usual = RecordRef::new();
        if plain::read(text, &mut usual).is_some() {
            let record = ndjson::parse_line(bytes).and_then(Line::record).expect("both take it");
            let mut view = RecordRef::new();
            view.refer_to(&record);
            assert_eq!(usual, view);
            if usual.is_clean(Admission::usual(NOW)) {
                // Its names are looked at by who knows them.
                let _ = record.checked(Admission::usual(NOW));
            }
        }
    }
    if let Ok(line) = ndjson::parse_line(bytes) {
        stored(line);
    }
}

pub fn kissmetrics(bytes: &[u8]) {
    if let Ok(record) = kissmetrics::parse_record(bytes) {
        stored(record);
    }
}

pub fn csv(bytes: &[u8]) {
    let _ = csv::for_each_block(bytes, &Vec::new(), true, Admission::usual(NOW), |rows| {
        rows.into_iter().filter_map(|(_, row)| row.ok()).for_each(stored);
        Ok(())
    });
}

pub fn packed(bytes: &[u8]) {
    let Ok(plain) = lines::unpacked(bytes) else { return };
    let mut some = Vec::new();
    let _ = plain.take(1 << 20).read_to_end(&mut some);
}
