//! Reads lines in blocks of about 256 KiB, parses the blocks on several threads, and hands the records on in the order of
//! the lines. Memory is bounded by a few blocks, whatever the length of the input.

use std::io::{self, BufReader, Read};

use crossbeam::channel::{Receiver, Sender, bounded};
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{Millis, Record};

/// Bytes of a block, before the line that crosses its end.
const BLOCK_BYTES: usize = 1 << 18;

/// Bytes that are parsed on the caller's thread before others begin.
const ALONE_BYTES: usize = 2 * BLOCK_BYTES;

/// Whole lines.
pub struct Block {
    /// The number of the first line, from 1.
    first_line: u64,
    bytes: Vec<u8>,
    /// Lines that were too long to be kept; they are empty in `bytes`.
    too_long: Vec<u64>,
}

/// Splits input into blocks of whole lines. What has arrived is handed on, so that records which trickle in do not wait for a
/// block to fill.
pub struct LineReader<R> {
    input: R,
    /// What one read takes; kept, because clearing all of it for each small read costs more than the read.
    buffer: Vec<u8>,
    rest: Vec<u8>,
    next_line: u64,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    /// Over `input`, which is text. A byte order mark at its start is skipped.
    pub fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), rest: Vec::new(), next_line: 1, ended: false }
    }

    /// The next block; `None` at the end.
    pub fn next_block(&mut self) -> io::Result<Option<Block>> {
        if self.buffer.is_empty() {
            self.buffer.resize(BLOCK_BYTES, 0);
            self.skip_mark()?;
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.reserve(BLOCK_BYTES);
        let mut block = Block { first_line: self.next_line, bytes, too_long: Vec::new() };
        // Only what is new is looked through: a long line may come in many small reads.
        let mut from = 0;
        loop {
            let new = block.bytes.get(from..).unwrap_or(&[]);
            if let Some(end) = new.iter().rposition(|b| *b == b'\n') {
                self.rest = block.bytes.split_off(from + end + 1);
                break;
            }
            if block.bytes.len() > limits::IMPORT_LINE_BYTES_MAX {
                self.skip_line(&mut block)?;
                break;
            }
            if self.ended {
                break;
            }
            from = block.bytes.len();
            block.bytes.extend_from_slice(self.read()?);
        }
        if block.bytes.is_empty() {
            return Ok(None);
        }
        self.next_line += block.bytes.iter().filter(|b| **b == b'\n').count() as u64;
        Ok(Some(block))
    }

    /// What the input has now; nothing at its end.
    fn read(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.input.read(&mut self.buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(read) => {
                    self.ended = read == 0;
                    return Ok(self.buffer.get(..read).unwrap_or(&[]));
                }
            }
        }
    }

    /// Reads the start of the input, and drops the byte order mark from it.
    fn skip_mark(&mut self) -> io::Result<()> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let mut start = Vec::new();
        while !self.ended && start.len() < MARK.len() && MARK.starts_with(&start) {
            start.extend_from_slice(self.read()?);
        }
        if start.starts_with(MARK) {
            start.drain(..MARK.len());
        }
        self.rest = start;
        Ok(())
    }

    /// Reads on to the end of a line that is too long, keeping nothing of it.
    fn skip_line(&mut self, block: &mut Block) -> io::Result<()> {
        block.too_long.push(block.first_line);
        block.bytes.clear();
        block.bytes.push(b'\n');
        while !self.ended {
            let new = self.read()?;
            if let Some(end) = new.iter().position(|b| *b == b'\n') {
                self.rest = new.get(end + 1..).unwrap_or(&[]).to_vec();
                break;
            }
        }
        Ok(())
    }
}

/// A line that is no record.
#[derive(Debug)]
pub struct Unread {
    /// Why not.
    pub error: Error,
    /// The line as it came, unless it was too long to be kept.
    pub text: Option<Vec<u8>>,
}

/// A parsed line: its number, and the record or what is wrong with it.
pub type ParsedLine = (u64, std::result::Result<Record, Box<Unread>>);

/// Parses the lines of a block with `parse`; blank ones are skipped.
pub fn parse_block(block: &Block, now: Millis, parse: fn(&[u8]) -> Result<Record>) -> Vec<ParsedLine> {
    let mut out = Vec::with_capacity(block.bytes.len() / 128);
    for (at, line) in block.bytes.split(|b| *b == b'\n').enumerate() {
        let number = block.first_line + at as u64;
        if block.too_long.contains(&number) || line.len() > limits::IMPORT_LINE_BYTES_MAX {
            let message = format!("the line is longer than {} bytes", limits::IMPORT_LINE_BYTES_MAX);
            let error = Error::new(ErrorKind::TooLarge, "line_too_long", message);
            out.push((number, Err(Box::new(Unread { error, text: None }))));
            continue;
        }
        let line = line.trim_ascii();
        if !line.is_empty() {
            let unread = |error| Box::new(Unread { error, text: Some(line.to_vec()) });
            out.push((number, parse(line).and_then(|r| r.checked(now)).map_err(unread)));
        }
    }
    out
}

/// Input that is unpacked if it begins as gzip or zstd does.
pub fn unpacked<'a>(mut input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut start = Vec::with_capacity(4);
    // One read may give only the first of the bytes.
    input.by_ref().take(4).read_to_end(&mut start)?;
    let (gzip, zstd) = (start.starts_with(&[0x1f, 0x8b]), start == [0x28, 0xb5, 0x2f, 0xfd]);
    let whole = io::Cursor::new(start).chain(input);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole)))
    } else if zstd {
        let decoder = StreamingDecoder::new(BufReader::with_capacity(1 << 16, whole));
        Box::new(decoder.map_err(|e| io::Error::other(e.to_string()))?)
    } else {
        Box::new(whole)
    })
}

/// Parses all lines of `input` on `threads` threads, has `prepare` make something of the records of each block there, and calls
/// `each` with it, block by block in order. An error of the input or of `each` ends it.
pub fn for_each_block<T: Send>(
    input: impl Read + Send,
    threads: usize,
    now: Millis,
    parse: fn(&[u8]) -> Result<Record>,
    prepare: impl Fn(Vec<ParsedLine>) -> T + Sync,
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut reader = LineReader::new(input);
    let work = |block: Block| prepare(parse_block(&block, now, parse));
    // A short input is over before threads would have begun.
    let mut alone = 0;
    while alone < ALONE_BYTES {
        let Some(block) = reader.next_block().map_err(broken)? else { return Ok(()) };
        alone += block.bytes.len();
        each(work(block))?;
    }
    in_order(move || reader.next_block(), threads, work, each)
}

/// Takes blocks from `next`, has them parsed on `threads` threads, and calls `each` with the outcomes in order. The blocks are
/// dealt to the threads in turn and collected in the same turn: the order needs no numbers, and a slow block holds the others
/// up instead of letting their outcomes pile up.
fn in_order<B: Send, T: Send>(
    next: impl FnMut() -> io::Result<Option<B>> + Send,
    threads: usize,
    parse: impl Fn(B) -> T + Sync,
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    crossbeam::thread::scope(|scope| {
        let (mut hands, mut parsed) = (Vec::new(), Vec::new());
        for _ in 0..threads.max(1) {
            let (hand, blocks) = bounded::<B>(1);
            let (done, outcomes) = bounded::<T>(2);
            hands.push(hand);
            parsed.push(outcomes);
            let parse = &parse;
            scope.spawn(move |_| blocks.into_iter().map(parse).all(|outcome| done.send(outcome).is_ok()));
        }
        let reader = scope.spawn(move |_| deal(next, &hands));
        let done = collect(&parsed, &mut each);
        drop(parsed);
        let read = reader.join().unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked")));
        done.and_then(|()| read.map_err(broken))
    })
    .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "panic", "a parsing thread panicked")))
}

fn broken(error: io::Error) -> Error {
    Error::new(ErrorKind::Malformed, "bad_input", format!("the input ends with an error: {error}"))
}

/// Gives each of `hands` a block in turn, until there are none or nobody takes them any more.
fn deal<B>(mut next: impl FnMut() -> io::Result<Option<B>>, hands: &[Sender<B>]) -> io::Result<()> {
    for hand in hands.iter().cycle() {
        let Some(block) = next()? else { break };
        if hand.send(block).is_err() {
            break;
        }
    }
    Ok(())
}

/// Takes from each of `parsed` in turn. The first that has ended is where dealing ended.
fn collect<T>(parsed: &[Receiver<T>], each: &mut impl FnMut(T) -> Result<()>) -> Result<()> {
    for outcomes in parsed.iter().cycle() {
        match outcomes.recv() {
            Ok(outcome) => each(outcome)?,
            Err(_) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::super::ndjson::parse_record;
    use super::*;

    fn all(input: &[u8]) -> Vec<(u64, std::result::Result<String, &'static str>)> {
        let mut out = Vec::new();
        for_each_block(
            unpacked(input).unwrap(),
            2,
            1_800_000_000_000,
            parse_record,
            |lines| lines,
            |lines| {
                out.extend(
                    lines.into_iter().map(|(n, r)| (n, r.map(|r| r.identity).map_err(|e| e.error.code()))),
                );
                Ok(())
            },
        )
        .unwrap();
        out
    }

    fn line(person: &str) -> String {
        format!("{{\"type\":\"event\",\"person\":\"{person}\",\"event\":\"e\"}}")
    }

    #[test]
    fn lines_are_numbered_whatever_their_ends() {
        let text = format!("\u{feff}{}\r\n\n{}\nnot json\n{}", line("a"), line("b"), line("c"));
        let expected =
            vec![(1, Ok("a".into())), (3, Ok("b".into())), (4, Err("bad_json")), (5, Ok("c".into()))];
        assert_eq!(all(text.as_bytes()), expected);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        assert_eq!(all(&gzip.finish().unwrap()), expected);
    }

    #[test]
    fn many_blocks_come_in_order_and_a_long_line_is_skipped() {
        let mut text = String::new();
        for i in 0..60_000 {
            text.push_str(&line(&format!("p{i}")));
            text.push('\n');
        }
        text.push_str(&format!(
            "{{\"x\":\"{}\"}}\n{}\n",
            "y".repeat(limits::IMPORT_LINE_BYTES_MAX + 10),
            line("last")
        ));
        let found = all(text.as_bytes());
        assert_eq!(found.len(), 60_002);
        assert!(
            found.iter().take(60_000).enumerate().all(|(i, f)| *f == (i as u64 + 1, Ok(format!("p{i}"))))
        );
        assert_eq!(found[60_000..], [(60_001, Err("line_too_long")), (60_002, Ok("last".into()))]);
    }

    /// Input that comes in pieces, as from a pipe or a connection, and may end in an error.
    struct Pieces<'a> {
        rest: &'a [u8],
        size: usize,
        breaks: bool,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.rest.is_empty() && self.breaks {
                return Err(io::Error::other("gone"));
            }
            let (piece, rest) = self.rest.split_at(self.size.min(buffer.len()).min(self.rest.len()));
            buffer[..piece.len()].copy_from_slice(piece);
            self.rest = rest;
            Ok(piece.len())
        }
    }

    #[test]
    fn the_size_of_reads_changes_nothing() {
        let text = format!("\u{feff}{}\r\n\nnot json\n{}", line("a"), line("b"));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        for bytes in [text.as_bytes(), &gzip.finish().unwrap()] {
            for size in [1, 2, 3, 7, 1000] {
                let mut found = Vec::new();
                let pieces = Pieces { rest: bytes, size, breaks: false };
                for_each_block(
                    unpacked(pieces).unwrap(),
                    2,
                    0,
                    parse_record,
                    |lines| lines,
                    |lines| {
                        found.extend(
                            lines
                                .into_iter()
                                .map(|(n, r)| (n, r.map(|r| r.identity).map_err(|e| e.error.code()))),
                        );
                        Ok(())
                    },
                )
                .unwrap();
                let expected = [(1, Ok("a".to_owned())), (3, Err("bad_json")), (4, Ok("b".to_owned()))];
                assert_eq!(found, expected, "in reads of {size}");
            }
        }
        for short in ["", "\n", "\u{feff}"] {
            assert_eq!(all(short.as_bytes()), [], "{short:?}");
        }
    }

    #[test]
    fn a_long_line_in_small_reads_is_looked_through_once() {
        let text = format!("{{\"x\":\"{}\"}}\n", "y".repeat(4_000_000));
        let pieces = Pieces { rest: text.as_bytes(), size: 256, breaks: false };
        let started = std::time::Instant::now();
        let mut reader = LineReader::new(pieces);
        assert_eq!(reader.next_block().unwrap().unwrap().bytes.len(), text.len());
        // Looking at everything again after each of the 16,000 reads takes half a minute, looking at it once milliseconds.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn lines_before_a_break_are_handed_on() {
        let text = format!("{}\n{}\n{{\"type\":", line("a"), line("b"));
        let mut found = 0;
        let pieces = Pieces { rest: text.as_bytes(), size: 1000, breaks: true };
        let error = for_each_block(
            pieces,
            2,
            0,
            parse_record,
            |lines| lines,
            |lines| {
                found += lines.len();
                Ok(())
            },
        );
        assert_eq!((found, error.unwrap_err().code()), (2, "bad_input"));
    }

    #[test]
    fn one_slow_block_does_not_let_the_others_pile_up() {
        let taken = AtomicUsize::new(0);
        let mut source = 0..1000;
        let next = || {
            taken.fetch_add(1, Relaxed);
            Ok(source.next())
        };
        let parse = |block: i32| {
            if block == 0 {
                std::thread::sleep(std::time::Duration::from_millis(300));
                assert!(taken.load(Relaxed) < 20, "{taken:?} blocks were read ahead");
            }
            block
        };
        let mut order = Vec::new();
        in_order(next, 3, parse, |block| {
            order.push(block);
            Ok(())
        })
        .unwrap();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_of_a_parser_is_an_error_and_not_the_end() {
        let mut source = 0..10;
        let parse = |block: i32| if block == 5 { panic!("on purpose") } else { block };
        let mut last = -1;
        let outcome = in_order(
            move || Ok(source.next()),
            2,
            parse,
            |block| {
                last = block;
                Ok(())
            },
        );
        assert_eq!((last, outcome.unwrap_err().code()), (4, "panic"));
    }

    #[test]
    fn cut_gzip_is_an_error() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(line("a").as_bytes()).unwrap();
        let bytes = gzip.finish().unwrap();
        let cut = unpacked(&bytes[..bytes.len() - 5]).unwrap();
        assert!(for_each_block(cut, 2, 0, parse_record, |lines| lines, |_| Ok(())).is_err());
    }
}
