//! Every bound of the system, each with its reason. Nothing grows without one of these above it.

use std::time::Duration;

/// Characters of an identity, an event name or a property name: what the Kissmetrics wire promises.
pub const NAME_CHARS_MAX: usize = 255;
/// Bytes of one property value: long enough for any URL, short enough for a dictionary.
pub const VALUE_BYTES_MAX: usize = 8 * 1024;
/// Properties of one record.
pub const PROPERTIES_MAX: usize = 256;
/// Characters of a record's `id`.
pub const RECORD_ID_CHARS_MAX: usize = 255;
/// Significant digits of a number: its mantissa fits an `i128` with room for summing 10^9 of them.
pub const NUMBER_DIGITS_MAX: usize = 27;
/// Digits behind the decimal point of a number.
pub const NUMBER_SCALE_MAX: u8 = 20;
/// Distinct event names, and apart from them distinct property names: ids fit 16 bits with room to spare.
pub const NAMES_MAX: usize = 65_535;
/// Names of events, and apart from them of properties, that tracking may make unless told otherwise: far more than anybody
/// can read, and enough left of [`NAMES_MAX`] for an import with the API key after somebody sent nonsense with the public one.
pub const TRACKED_NAMES_MAX: usize = 10_000;

/// Bytes of a request to the tracking routes.
pub const TRACK_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a batch of the Segment API, unpacked.
pub const SEGMENT_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Nesting of the JSON of such a batch: of its properties some twenty levels are left, and each costs a pass over what is in it.
pub const MESSAGE_DEPTH_MAX: usize = 24;
/// Messages of such a batch: each that is refused is kept with its reason until the batch is answered.
pub const SEGMENT_MESSAGES_MAX: usize = 50_000;
/// Values in a text of JSON that is sent, besides one for each [`JSON_VALUE_BYTES`]: each costs some hundred bytes of memory while it is
/// read, however short it is written.
pub const JSON_VALUES_FREE: usize = 20_000;
/// See [`JSON_VALUES_FREE`].
pub const JSON_VALUE_BYTES: usize = 16;
/// Bytes of all large bodies that are unpacked at one moment: some kilobytes can be twenty megabytes.
pub const UNPACKED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same of all that are not large, which wait for each other: no clients' batches are half as long as [`UNPACKED_SMALL_BYTES`].
pub const UNPACKED_SMALL_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Bytes from which on an unpacked body is large, and takes [`UNPACKED_LARGE_BYTES`] of room at once.
pub const UNPACKED_SMALL_BYTES: usize = 1024 * 1024;
/// As many as the largest has, and what is unpacked before it is known to be larger.
pub const UNPACKED_LARGE_BYTES: usize = SEGMENT_BYTES_MAX + UNPACKED_SMALL_BYTES;
/// Parameters of a tracking request. Of one that is given twice the last counts, so there may be more than properties.
pub const PARAMETERS_MAX: usize = 4 * PROPERTIES_MAX;
/// Columns of a table of comma-separated values: rows have few of them each.
pub const COLUMNS_MAX: usize = 10_000;
/// Bytes of one line of a bulk import: a record with every property at its limit.
pub const IMPORT_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Identities whose browser is remembered, twice: 2 MiB.
pub const AGENTS_REMEMBERED: usize = 32 * 1024;
/// Errors listed in the answer to an import; all of them are counted.
pub const IMPORT_ERRORS_LISTED: usize = 100;
/// Refusals kept for inspection.
pub const REFUSALS_KEPT: usize = 1000;
/// Latest records and refusals kept for those who watch, and bytes of them: a client that lost the connection for some
/// seconds goes on where it was.
pub const FEED_KEPT: usize = 2000;
/// See [`FEED_KEPT`].
pub const FEED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Watchers of the live view at once: each has a thread and is woken by every record.
pub const WATCHERS_MAX: usize = 16;
/// Bytes of a JSON query.
pub const QUERY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a request's head: browsers with many cookies send 8 KiB.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a request target: the longest URL that browsers and proxies agree on.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Header fields of one request.
pub const HEADERS_MAX: usize = 100;
/// Bytes of an answer that is made as a whole; exports are streamed.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of request bodies held at once, and apart from them of answers.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of the bytes of bodies, one in so many is for who showed a key or a session: those of strangers cannot use it up. Strangers have most
/// of them, as one address can claim [`CONNECTIONS_PER_ADDRESS`] times [`TRACK_BYTES_MAX`].
pub const IN_FLIGHT_PARTS: usize = 4;
/// Bytes of a form that is open to everybody: a password, and the page to go to, with percent signs.
pub const OPEN_FORM_BYTES_MAX: usize = 32 * 1024;
/// Client connections at once: each has a thread.
pub const CONNECTIONS_MAX: usize = 1024;
/// Client connections of one address (of an IPv6 network of 64 bits): a browser opens 6.
pub const CONNECTIONS_PER_ADDRESS: usize = 32;
/// Connections that the kernel keeps for us until they are accepted (it has a bound of its own besides): a flood fills a short queue, and
/// who finds it full tries again only after a second.
pub const BACKLOG: i32 = 4096;
/// Stack of a connection's thread, which runs tracking routes and reports too. What is not used takes no memory.
pub const CONNECTION_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Imports running at once. Apart from exports, because the key that imports is public.
pub const IMPORTS_MAX: usize = 5;
/// Of these with the write key, and one of an address: an import with the API key always finds room.
pub const PUBLIC_IMPORTS_MAX: usize = 4;
/// Exports running at once.
pub const EXPORTS_MAX: usize = 2;
/// Bytes that a streamed body brings in each span of the progress deadline, or it is called stuck.
pub const PROGRESS_BYTES_MIN: u64 = 1024;
/// Reports running at once: each uses all processors where it helps.
pub const QUERIES_MAX: usize = 4;
/// How long a report may take before it is given up: of ten million events none takes a hundredth of it, and four that never end would
/// keep all others out.
pub const REPORT_TIME: Duration = Duration::from_secs(30);
/// How often all files are read through to find damage while there is a sound backup.
pub const SCRUB_EVERY: Duration = Duration::from_secs(7 * 86_400);
/// Workers for changes, for work of minutes and for health: kept apart, so that none starves another.
pub const WORKERS: [usize; 3] = [4, 2, 2];
/// Bytes read after a refusal, so that the client sees the answer and no reset.
pub const LINGER_BYTES_MAX: usize = 256 * 1024;
/// The same behind a trusted proxy, which sends a whole body before it looks at the answer.
pub const LINGER_PROXY_BYTES_MAX: usize = 2 * QUERY_BYTES_MAX;

/// Projects beside the first: each has three threads and a few open files, used or not.
pub const PROJECTS_MAX: usize = 100;
/// Descriptors that the store of a project needs: its lock, its log, and one file that is being written.
pub const PROJECT_FILES: usize = 4;
/// Characters of the description of an event.
pub const DESCRIPTION_CHARS_MAX: usize = 1000;
/// Accounts of the dashboard: each change writes them all, and each log-in looks one up.
pub const USERS_MAX: usize = 1000;
/// Characters of a password at least: short ones are guessed even against a slow hash.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Bytes of a password: longer ones cost time and make nothing safer.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Passwords that wait to be hashed, one after the other: two seconds of waiting.
pub const PASSWORDS_WAITING_MAX: usize = 32;
/// Failed log-ins of one address (of an IPv6 network of 64 bits) in a minute.
pub const LOGINS_FAILED_MAX: u32 = 5;
/// Addresses whose failed log-ins are counted at once; the oldest are forgotten first.
pub const LOGIN_ADDRESSES_MAX: usize = 4096;
/// Keys besides the first two: each is compared with every key that is presented.
pub const KEYS_MAX: usize = 100;
/// Clients whose rate is known at once: a few megabytes, however many addresses an attacker has.
pub const LIMITED_CLIENTS_MAX: usize = 65_536;
/// Records that one address may send in a second, unless told otherwise: a thousand people behind one address send fewer.
pub const ADDRESS_RATE: u32 = 1000;
/// Seconds of its rate that a client may save up and use at once: a page that was opened by everybody, a queue after an outage.
pub const BURST_SECONDS: u32 = 10;

/// Steps of a funnel.
pub const FUNNEL_STEPS_MAX: usize = 20;
/// Steps of a funnel in any order that excludes events: the work of finding the attempt doubles with each.
pub const ANY_EXCLUDE_STEPS_MAX: usize = 12;
/// Event names in one step.
pub const STEP_EVENTS_MAX: usize = 100;
/// Segments of a report by default and at most.
pub const SEGMENTS_DEFAULT: usize = 25;
/// See [`SEGMENTS_DEFAULT`].
pub const SEGMENTS_MAX: usize = 1000;
/// Buckets of a cohort report: more than a year of days.
pub const COHORT_BUCKETS_MAX: usize = 400;
/// Words that stand for nobody. Each identify is compared with all of them.
pub const NOBODY_WORDS_MAX: usize = 100;
/// Saved audiences, and apart from them saved reports.
pub const SAVED_MAX: usize = 1000;
/// Bytes of a saved definition.
pub const SAVED_BYTES_MAX: usize = 64 * 1024;
/// Series of a report on trends.
pub const SERIES_MAX: usize = 10;
/// Points of a series: thirteen years of days.
pub const SERIES_POINTS_MAX: usize = 5000;
/// Events of a path.
pub const PATH_EVENTS_MAX: usize = 50;
/// Cohorts of one report.
pub const COHORTS_MAX: usize = 1000;
/// People on one page of a list by default and at most.
pub const PAGE_DEFAULT: usize = 100;
/// See [`PAGE_DEFAULT`].
pub const PAGE_MAX: usize = 10_000;
/// Bytes of JSON of the identities that a list shows of one person: whoever has the write key can give somebody any number, and a page
/// of such people has to fit into [`ANSWER_BYTES_MAX`], escaped for a page of HTML as well.
pub const LISTED_IDENTITIES_BYTES: usize = 32 * 1024;
/// As [`LISTED_IDENTITIES_BYTES`], of the properties of one person, and of those of one event of a person.
pub const LISTED_PROPERTIES_BYTES: usize = 64 * 1024;
/// As [`LISTED_PROPERTIES_BYTES`], of those that were asked for by name: twenty that are as long as can be, and escaped.
pub const LISTED_COLUMNS_BYTES: usize = 1024 * 1024;
/// Bytes of JSON of the people on one page of a list, if there are several: half of [`ANSWER_BYTES_MAX`], so that one who takes as much
/// as can be still fits in.
pub const LISTED_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// As [`LISTED_IDENTITIES_BYTES`], of a profile.
pub const PROFILE_IDENTITIES_BYTES: usize = 1024 * 1024;
/// Bytes of JSON of the properties of a profile with what became of them.
pub const PROFILE_PROPERTIES_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of JSON of the properties on one page of a time line, if it has several events.
pub const TIMELINE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of JSON of the events or the properties that an answer lists: 10,000 names of 255 characters can take 10 MB, and events with
/// their properties any multiple of it.
pub const NAMES_LISTED_BYTES: usize = 8 * 1024 * 1024;
/// Nesting of the JSON of a query: an audience at its limit takes two levels for each of its own, and a few around them.
pub const QUERY_DEPTH_MAX: usize = 64;
/// Nesting of an audience expression.
pub const AUDIENCE_DEPTH_MAX: usize = 16;
/// Expressions of an audience, those of saved audiences in it included: each costs a pass over people.
pub const AUDIENCE_EXPRESSIONS_MAX: usize = 1000;

/// Earliest time of a record, 2009-01-01T00:00:00Z in milliseconds: before it is a clock that was never set.
pub const TIME_MIN_MS: i64 = 1_230_768_000_000;
/// The last instant of a record whatever the clock says, the end of the year 9999: calendars go no further.
pub const TIME_MAX_MS: i64 = 253_402_300_799_999;
/// How far ahead of the server's clock a record may lie, in milliseconds: a day of clock skew.
pub const TIME_AHEAD_MS: i64 = 86_400_000;

/// Rows in the memtable before it is flushed: about 40 MB in memory.
pub const MEMTABLE_ROWS_MAX: usize = 256 * 1024;
/// Bytes of one write-ahead log before it is flushed: bounds the time of recovery.
pub const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The least that somebody may set instead: a log that is full with its head would be replaced for ever.
pub const WAL_BYTES_MIN: u64 = 4096;
/// Identities that the writer remembers, in each of two generations: at most 30 MB in all.
pub const IDENTITY_CACHE: usize = 256 * 1024;
/// Bytes of rows and values in memory before they are flushed by an import that has the process for itself: some 14 million records.
pub const BULK_BYTES: usize = 512 * 1024 * 1024;
/// The least of these, however little memory is free: some 800,000 records.
pub const BULK_BYTES_MIN: usize = 32 * 1024 * 1024;
/// As [`IDENTITY_CACHE`], of such an import.
pub const BULK_IDENTITY_CACHE: usize = 2 * 1024 * 1024;
/// Segments of like size that a bulk import merges: more of them, so that each row is written fewer times.
pub const BULK_MERGE_SEGMENTS: usize = 32;
/// Bytes of one write-ahead log frame.
pub const FRAME_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// Records that one group commit takes from the queue.
pub const GROUP_RECORDS_MAX: usize = 64 * 1024;
/// Batches waiting for the writer before senders are told to come back.
pub const WRITE_QUEUE_MAX: usize = 1024;
/// Rows of one segment up to which it has a filter. A larger one is old: little that comes in now falls into its time, and what does
/// is looked up in less than a microsecond; a filter would take a tenth of its bytes.
pub const FILTER_ROWS_MAX: u64 = 4 * 1024 * 1024;
/// Rows of one segment above which it is no longer merged with others: bounds the memory and time of a merge.
pub const SEGMENT_ROWS_MAX: u64 = 64 * 1024 * 1024;
/// Free bytes on the disk below which writes are refused (with twice the log besides), so that flushes still have room.
pub const FREE_BYTES_MIN: u64 = 2 * 1024 * 1024;
/// Free bytes on the disk below which there is a warning, unless told otherwise: at a thousand records a second some hours are left.
pub const FREE_BYTES_WARN: u64 = 1024 * 1024 * 1024;
/// Bytes of the disk that are set aside: to open a store takes a new log, a checkpoint and a manifest.
pub const RESERVE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of decoded postings that reports keep for each row stored, where no budget says otherwise: a dashboard that asks of a third
/// of all events finds them decoded. At most a quarter of the memory that is free.
pub const CACHE_BYTES_PER_ROW: u64 = 10;
/// Bytes of decoded postings that reports keep of a small store.
pub const CACHE_BYTES_MIN: usize = 128 * 1024 * 1024;

const _: () = assert!(SEGMENTS_DEFAULT <= SEGMENTS_MAX && PAGE_DEFAULT <= PAGE_MAX);
const _: () = assert!(IMPORT_LINE_BYTES_MAX >= PROPERTIES_MAX * (VALUE_BYTES_MAX + NAME_CHARS_MAX));
