//! Reads lines in blocks of about a megabyte, parses the blocks on several threads, and hands the records on in the order of
//! the lines. Memory is bounded by a few blocks, whatever the length of the input.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use crossbeam::channel::bounded;
use flate2::bufread::MultiGzDecoder;

use super::ndjson::parse_record;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{Millis, Record};

/// Bytes of a block, before the line that crosses its end.
const BLOCK_BYTES: usize = 1 << 20;

/// Whole lines.
pub struct Block {
    /// The number of the first line, from 1.
    first_line: u64,
    bytes: Vec<u8>,
    /// Lines that were too long to be kept; they are empty in `bytes`.
    too_long: Vec<u64>,
}

/// Splits input into blocks of whole lines.
pub struct LineReader<R> {
    input: R,
    rest: Vec<u8>,
    next_line: u64,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    /// Over `input`, which is text. A byte order mark at its start is skipped.
    pub fn new(input: R) -> Self {
        Self { input, rest: Vec::new(), next_line: 1, ended: false }
    }

    /// The next block; `None` at the end.
    pub fn next_block(&mut self) -> io::Result<Option<Block>> {
        let mut block =
            Block { first_line: self.next_line, bytes: std::mem::take(&mut self.rest), too_long: Vec::new() };
        while !self.ended {
            let from = block.bytes.len();
            block.bytes.resize(from + BLOCK_BYTES, 0);
            let read = read_some(&mut self.input, block.bytes.get_mut(from..).unwrap_or(&mut []))?;
            block.bytes.truncate(from + read);
            self.ended = read == 0;
            if self.next_line == 1 && from == 0 && block.bytes.starts_with(b"\xef\xbb\xbf") {
                block.bytes.drain(..3);
            }
            if let Some(end) = block.bytes.iter().rposition(|b| *b == b'\n') {
                self.rest = block.bytes.split_off(end + 1);
                break;
            }
            if block.bytes.len() > limits::IMPORT_LINE_BYTES_MAX {
                self.skip_line(&mut block)?;
                break;
            }
        }
        if block.bytes.is_empty() {
            return Ok(None);
        }
        self.next_line += block.bytes.iter().filter(|b| **b == b'\n').count() as u64;
        Ok(Some(block))
    }

    /// Reads on to the end of a line that is too long, keeping nothing of it.
    fn skip_line(&mut self, block: &mut Block) -> io::Result<()> {
        block.too_long.push(block.first_line);
        block.bytes.clear();
        block.bytes.push(b'\n');
        let mut buffer = vec![0; BLOCK_BYTES];
        loop {
            let read = read_some(&mut self.input, &mut buffer)?;
            let part = buffer.get(..read).unwrap_or(&[]);
            if read == 0 {
                self.ended = true;
                return Ok(());
            }
            if let Some(end) = part.iter().position(|b| *b == b'\n') {
                self.rest = part.get(end + 1..).unwrap_or(&[]).to_vec();
                return Ok(());
            }
        }
    }
}

fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A parsed line: its number, and the record or what is wrong with it.
pub type ParsedLine = (u64, Result<Record>);

/// Parses the lines of a block; blank ones are skipped.
pub fn parse_block(block: &Block, now: Millis) -> Vec<ParsedLine> {
    let mut out = Vec::with_capacity(block.bytes.len() / 128);
    for (at, line) in block.bytes.split(|b| *b == b'\n').enumerate() {
        let number = block.first_line + at as u64;
        if block.too_long.contains(&number) || line.len() > limits::IMPORT_LINE_BYTES_MAX {
            let message = format!("the line is longer than {} bytes", limits::IMPORT_LINE_BYTES_MAX);
            out.push((number, Err(Error::new(ErrorKind::TooLarge, "line_too_long", message))));
            continue;
        }
        let line = line.trim_ascii();
        if !line.is_empty() {
            out.push((number, parse_record(line).and_then(|r| r.checked(now))));
        }
    }
    out
}

/// Input that is gunzipped if it begins as gzip does.
pub fn maybe_gzip<'a>(input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let gzip = io::BufRead::fill_buf(&mut input)?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) })
}

/// Parses all lines of `input` on `threads` threads and calls `each` with their records, block by block in order. An error of
/// the input or of `each` ends it.
pub fn for_each_block(
    input: impl Read + Send,
    threads: usize,
    now: Millis,
    mut each: impl FnMut(Vec<ParsedLine>) -> Result<()>,
) -> Result<()> {
    let broken = |e: io::Error| {
        Error::new(ErrorKind::Malformed, "bad_input", format!("the input ends with an error: {e}"))
    };
    crossbeam::thread::scope(|scope| {
        let (raw_out, raw_in) = bounded::<(u64, Block)>(threads);
        let (parsed_out, parsed_in) = bounded::<(u64, Vec<ParsedLine>)>(threads * 2);
        let reader = scope.spawn(move |_| {
            let mut reader = LineReader::new(input);
            let mut number = 0;
            while let Some(block) = reader.next_block()? {
                if raw_out.send((number, block)).is_err() {
                    break;
                }
                number += 1;
            }
            io::Result::Ok(())
        });
        for _ in 0..threads {
            let (raw_in, parsed_out) = (raw_in.clone(), parsed_out.clone());
            scope.spawn(move |_| {
                for (number, block) in raw_in {
                    if parsed_out.send((number, parse_block(&block, now))).is_err() {
                        break;
                    }
                }
            });
        }
        drop((raw_in, parsed_out));
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        let mut done = Ok(());
        for (number, parsed) in &parsed_in {
            waiting.insert(number, parsed);
            while let Some(parsed) = waiting.remove(&next) {
                next += 1;
                if done.is_ok() {
                    done = each(parsed);
                }
            }
            if done.is_err() {
                break;
            }
        }
        drop(parsed_in);
        let read = reader.join().unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked")));
        done.and_then(|()| read.map_err(broken))
    })
    .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "panic", "a parsing thread panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(input: &[u8]) -> Vec<(u64, std::result::Result<String, &'static str>)> {
        let mut out = Vec::new();
        for_each_block(maybe_gzip(input).unwrap(), 2, 1_800_000_000_000, |lines| {
            out.extend(lines.into_iter().map(|(n, r)| (n, r.map(|r| r.identity).map_err(|e| e.code()))));
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

    #[test]
    fn cut_gzip_is_an_error() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(line("a").as_bytes()).unwrap();
        let bytes = gzip.finish().unwrap();
        let cut = maybe_gzip(&bytes[..bytes.len() - 5]).unwrap();
        assert!(for_each_block(cut, 2, 0, |_| Ok(())).is_err());
    }
}
