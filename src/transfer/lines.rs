//! Reads lines in blocks of about 256 KiB, parses the blocks on several threads, and hands the records on in the order of
//! the lines. Memory is bounded by a few blocks, whatever the length of the input.

use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::bufread::MultiGzDecoder;
use memchr::{memchr, memchr_iter, memrchr};
use ruzstd::decoding::StreamingDecoder;

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::Line;
use crate::threads::in_order;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 18;
/// Blocks that wait for each thread.
const BLOCKS_AHEAD: usize = 2;

/// Bytes of the buffer of a block: a read, and the beginning of a line from before it.
const BUFFER_BYTES: usize = READ_BYTES + (1 << 14);

/// Bytes that are parsed on the caller's thread before others begin.
const ALONE_BYTES: usize = 2 * READ_BYTES;

/// Buffers that were used and may be used again: clearing new memory for each block costs as much as finding its lines.
type Pool = Arc<Mutex<Vec<Vec<u8>>>>;

/// Whole lines.
pub struct Block {
    /// The number of the first line, from 1.
    first_line: u64,
    /// The lines are in the first `length` of them.
    bytes: Vec<u8>,
    length: usize,
    /// Lines that were too long to be kept; they are empty in `bytes`.
    too_long: Vec<u64>,
    pool: Pool,
}

impl Drop for Block {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // One that grew for a long line is not kept.
        if bytes.len() == BUFFER_BYTES {
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
    }
}

impl Block {
    /// Its lines.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    /// Each line with its number, without what surrounds it; blank ones are skipped.
    pub fn lines(&self) -> impl Iterator<Item = (u64, std::result::Result<&[u8], Box<Unread>>)> {
        let ends = memchr_iter(b'\n', self.bytes()).chain([self.length]);
        let lines = ends.scan(0, |from, end| {
            let line = self.bytes.get(*from..end);
            *from = end + 1;
            Some(line.unwrap_or(&[]))
        });
        lines.zip(self.first_line..).filter_map(|(line, number)| {
            if self.too_long.contains(&number) || line.len() > limits::IMPORT_LINE_BYTES_MAX {
                let message = format!("the line is longer than {} bytes", limits::IMPORT_LINE_BYTES_MAX);
                let error = Error::new(ErrorKind::TooLarge, "line_too_long", message);
                return Some((number, Err(Unread::new(error))));
            }
            let line = line.trim_ascii();
            (!line.is_empty()).then_some((number, Ok(line)))
        })
    }
}

/// Splits input into blocks of whole lines. What has arrived is handed on, so that records which trickle in do not wait for a
/// block to fill.
pub struct LineReader<R> {
    input: R,
    /// What of the last line has arrived.
    rest: Vec<u8>,
    pool: Pool,
    next_line: u64,
    begun: bool,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    /// Over `input`, which is text. A byte order mark at its start is skipped.
    pub fn new(input: R) -> Self {
        Self { input, rest: Vec::new(), pool: Pool::default(), next_line: 1, begun: false, ended: false }
    }

    /// The next block; `None` at the end.
    pub fn next_block(&mut self) -> io::Result<Option<Block>> {
        if !std::mem::replace(&mut self.begun, true) {
            self.skip_mark()?;
        }
        let mut block = self.start_block();
        // Only what is new is looked through: a long line may come in many small reads.
        let mut from = 0;
        loop {
            let new = block.bytes.get(from..block.length).unwrap_or(&[]);
            if let Some(end) = memrchr(b'\n', new) {
                let end = from + end + 1;
                self.rest.extend_from_slice(block.bytes.get(end..block.length).unwrap_or(&[]));
                block.length = end;
                break;
            }
            if block.length > limits::IMPORT_LINE_BYTES_MAX {
                self.skip_line(&mut block)?;
                break;
            }
            if self.ended {
                break;
            }
            from = block.length;
            if block.bytes.len() < from + READ_BYTES {
                block.bytes.resize(from + 4 * READ_BYTES, 0);
            }
            let read = self.read(block.bytes.get_mut(from..).unwrap_or_default())?;
            block.length += read;
        }
        if block.length == 0 {
            return Ok(None);
        }
        self.next_line += memchr_iter(b'\n', block.bytes()).count() as u64;
        Ok(Some(block))
    }

    /// A block that begins with the rest of the last one.
    fn start_block(&mut self) -> Block {
        let used = self.pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bytes = used.unwrap_or_else(|| vec![0; BUFFER_BYTES]);
        let length = self.rest.len();
        if length + READ_BYTES > bytes.len() {
            bytes.resize(length + READ_BYTES, 0);
        }
        if let Some(begin) = bytes.get_mut(..length) {
            begin.copy_from_slice(&self.rest);
        }
        self.rest.clear();
        Block {
            first_line: self.next_line,
            bytes,
            length,
            too_long: Vec::new(),
            pool: Arc::clone(&self.pool),
        }
    }

    /// What the input has now, into `buffer`; 0 at its end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.input.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(read) => {
                    self.ended = read == 0;
                    return Ok(read);
                }
            }
        }
    }

    /// Reads the start of the input, and drops the byte order mark from it.
    fn skip_mark(&mut self) -> io::Result<()> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let mut start = Vec::new();
        let mut some = [0; MARK.len()];
        while !self.ended && start.len() < MARK.len() && MARK.starts_with(&start) {
            let wanted = MARK.len() - start.len();
            let read = self.read(some.get_mut(..wanted).unwrap_or_default())?;
            start.extend_from_slice(some.get(..read).unwrap_or(&[]));
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
        while !self.ended {
            let mut buffer = std::mem::take(&mut block.bytes);
            block.length = self.read(&mut buffer)?;
            block.bytes = buffer;
            let new = block.bytes();
            if let Some(end) = memchr(b'\n', new) {
                self.rest = new.get(end + 1..).unwrap_or(&[]).to_vec();
                break;
            }
        }
        block.bytes = b"\n".to_vec();
        block.length = 1;
        Ok(())
    }
}

/// A line that says nothing that can be taken.
#[derive(Debug)]
pub struct Unread {
    /// Why not.
    pub error: Error,
    /// The line as it came, unless it was too long to be kept.
    pub text: Option<Vec<u8>>,
    /// Whom it is about, as far as that could be read; else empty.
    pub person: String,
}

impl Unread {
    /// A line of which nothing more is known.
    pub fn new(error: Error) -> Box<Self> {
        Box::new(Self { error, text: None, person: String::new() })
    }
}

/// A parsed line: its number, and what it says or what is wrong with it.
pub type ParsedLine = (u64, std::result::Result<Line, Box<Unread>>);

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

/// Has `parse` make something of each block of lines of `input`, on `threads` threads, and calls `each` with it, block by block in
/// order. An error of the input or of `each` ends it.
pub fn for_each_block<T: Send>(
    input: impl Read + Send,
    threads: usize,
    parse: impl Fn(&Block) -> T + Sync,
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut reader = LineReader::new(input);
    // A short input is over before threads would have begun.
    let mut alone = 0;
    while alone < ALONE_BYTES {
        let Some(block) = reader.next_block().map_err(broken)? else { return Ok(()) };
        alone += block.length;
        each(parse(&block))?;
    }
    in_order(move || reader.next_block().map_err(broken), threads, BLOCKS_AHEAD, |block| parse(&block), each)
}

fn broken(error: io::Error) -> Error {
    Error::new(ErrorKind::Malformed, "bad_input", format!("the input ends with an error: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::ndjson::parse_line;
    use super::*;

    fn parse(block: &Block) -> Vec<ParsedLine> {
        let lines = block.lines().map(|(number, line)| (number, line.map(<[u8]>::to_vec)));
        lines.map(|(number, line)| (number, line.and_then(|l| parse_line(&l).map_err(Unread::new)))).collect()
    }

    fn all(input: &[u8]) -> Vec<(u64, std::result::Result<String, &'static str>)> {
        let mut out = Vec::new();
        for_each_block(unpacked(input).unwrap(), 2, parse, |lines| {
            out.extend(
                lines
                    .into_iter()
                    .map(|(n, r)| (n, r.map(|l| l.record().unwrap().identity).map_err(|e| e.error.code()))),
            );
            Ok(())
        })
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
                for_each_block(unpacked(pieces).unwrap(), 2, parse, |lines| {
                    found.extend(lines.into_iter().map(|(n, r)| {
                        (n, r.map(|l| l.record().unwrap().identity).map_err(|e| e.error.code()))
                    }));
                    Ok(())
                })
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
        assert_eq!(reader.next_block().unwrap().unwrap().bytes().len(), text.len());
        // Looking at everything again after each of the 16,000 reads takes half a minute, looking at it once milliseconds.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn lines_before_a_break_are_handed_on() {
        let text = format!("{}\n{}\n{{\"type\":", line("a"), line("b"));
        let mut found = 0;
        let pieces = Pieces { rest: text.as_bytes(), size: 1000, breaks: true };
        let error = for_each_block(pieces, 2, parse, |lines| {
            found += lines.len();
            Ok(())
        });
        assert_eq!((found, error.unwrap_err().code()), (2, "bad_input"));
    }

    #[test]
    fn cut_gzip_is_an_error() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(line("a").as_bytes()).unwrap();
        let bytes = gzip.finish().unwrap();
        let cut = unpacked(&bytes[..bytes.len() - 5]).unwrap();
        assert!(for_each_block(cut, 2, parse, |_| Ok(())).is_err());
    }
}
