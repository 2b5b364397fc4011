//! Short codes for what many strings have in common: one byte stands for a symbol of one to eight bytes, and the byte 255 stands before
//! a byte that is none. Any string can be read alone, with nothing but the table.
//!
//! Method: P. Boncz, T. Neumann, V. Leis, "FSST: Fast Random Access String Compression", VLDB 2020, with a plain search for symbols.
//!
//! ```text
//! count u8; the length of each, u8; then their bytes
//! ```

use std::collections::BTreeMap;

use crate::disk::codec::Reader;

/// Symbols at most.
const SYMBOLS_MAX: usize = 255;
/// Stands before a byte that is no symbol.
const ESCAPE: u8 = 255;
/// Bytes of a symbol at most.
const SYMBOL_BYTES: usize = 8;
/// Rounds of choosing: symbols grow by being joined, so a long one needs three or four.
const ROUNDS: usize = 5;

/// Up to eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Symbol {
    /// Little-endian, 0 behind the end.
    word: u64,
    length: u8,
}

impl Symbol {
    /// The first bytes of `bytes`, as many as a symbol has.
    fn of(bytes: &[u8]) -> Self {
        let mut word = [0; SYMBOL_BYTES];
        word.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
        Self { word: u64::from_le_bytes(word), length: bytes.len().min(SYMBOL_BYTES) as u8 }
    }

    fn bytes(&self) -> [u8; SYMBOL_BYTES] {
        self.word.to_le_bytes()
    }

    /// Its bytes and then those of the next, as far as they go into a symbol.
    fn and(self, next: Self) -> Self {
        let length = usize::from(self.length);
        let (own, more) = (self.bytes(), next.bytes());
        let both = own.iter().take(length).chain(more.iter().take(usize::from(next.length)));
        Self::of(&both.copied().collect::<Vec<u8>>())
    }

    /// Whether `word`, the next eight bytes of a string of which `left` are left, begins with it.
    fn begins(&self, word: u64, left: usize) -> bool {
        let mask = u64::MAX >> (64 - 8 * u32::from(self.length).clamp(1, 8));
        usize::from(self.length) <= left && word & mask == self.word
    }
}

/// How often a sample has what becomes a symbol.
const COMMON: u64 = 4;

/// A table of symbols.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    list: Vec<Symbol>,
    /// The codes of symbols by their first byte, the longest first.
    by_first: Vec<Vec<u8>>,
}

impl Symbols {
    fn new(list: Vec<Symbol>) -> Self {
        let mut by_first = vec![Vec::new(); 256];
        for (code, symbol) in (0..ESCAPE).zip(&list) {
            by_first
                .get_mut(symbol.word as u8 as usize)
                .into_iter()
                .for_each(|codes: &mut Vec<u8>| codes.push(code));
        }
        for codes in &mut by_first {
            codes.sort_by_key(|code| std::cmp::Reverse(list.get(usize::from(*code)).map(|s| s.length)));
        }
        Self { list, by_first }
    }

    /// Symbols that make strings like these short.
    pub fn of(sample: &[&[u8]]) -> Self {
        let mut symbols = Self::new(Vec::new());
        for _ in 0..ROUNDS {
            let mut counts: BTreeMap<Symbol, u64> = BTreeMap::new();
            for string in sample {
                let mut before: Option<Symbol> = None;
                symbols.parse(string, |code, word| {
                    let own = code.and_then(|code| symbols.list.get(usize::from(code)).copied());
                    let own = own.unwrap_or(Symbol { word: word & 0xff, length: 1 });
                    *counts.entry(own).or_default() += 1;
                    if let Some(before) = before.filter(|before| usize::from(before.length) < SYMBOL_BYTES) {
                        *counts.entry(before.and(own)).or_default() += 1;
                    }
                    before = Some(own);
                });
            }
            // What is rare saves nothing: it takes its own bytes in the table.
            let mut gains: Vec<(u64, Symbol)> = counts
                .into_iter()
                .filter(|(_, count)| *count >= COMMON)
                .map(|(symbol, count)| (count * u64::from(symbol.length), symbol))
                .collect();
            gains.sort_by_key(|(gain, symbol)| (std::cmp::Reverse(*gain), *symbol));
            symbols = Self::new(gains.into_iter().take(SYMBOLS_MAX).map(|(_, symbol)| symbol).collect());
        }
        symbols
    }

    /// Calls `each` for every piece of a string: its code if it is a symbol, and the bytes from there on.
    fn parse(&self, string: &[u8], mut each: impl FnMut(Option<u8>, u64)) {
        let mut at = 0;
        while let Some(rest) = string.get(at..).filter(|rest| !rest.is_empty()) {
            let word = match rest.first_chunk::<SYMBOL_BYTES>() {
                Some(eight) => u64::from_le_bytes(*eight),
                None => Symbol::of(rest).word,
            };
            let codes = self.by_first.get(word as u8 as usize).map_or(&[][..], Vec::as_slice);
            let found = codes.iter().find_map(|code| {
                let symbol = self.list.get(usize::from(*code))?;
                symbol.begins(word, rest.len()).then_some((*code, symbol.length))
            });
            each(found.map(|(code, _)| code), word);
            at += found.map_or(1, |(_, length)| usize::from(length));
        }
    }

    /// Appends the codes of a string.
    pub fn encode(&self, string: &[u8], out: &mut Vec<u8>) {
        self.parse(string, |code, word| match code {
            Some(code) => out.push(code),
            None => out.extend([ESCAPE, word as u8]),
        });
    }

    /// The string of some codes; `None` if they are not those of this table.
    pub fn decode(&self, codes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(codes.len() * 4);
        let mut codes = codes.iter();
        while let Some(code) = codes.next() {
            if *code == ESCAPE {
                out.push(*codes.next()?);
                continue;
            }
            let symbol = self.list.get(usize::from(*code))?;
            out.extend_from_slice(symbol.bytes().get(..usize::from(symbol.length))?);
        }
        Some(out)
    }

    /// Appends the table.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.list.len() as u8);
        out.extend(self.list.iter().map(|symbol| symbol.length));
        for symbol in &self.list {
            out.extend_from_slice(symbol.bytes().get(..usize::from(symbol.length)).unwrap_or(&[]));
        }
    }

    /// Reads a table; `None` if it is cut short or a length is none.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let count = usize::from(reader.u8()?);
        let lengths = reader.take(count)?;
        let symbol = |length: &u8| {
            let bytes = reader.take(usize::from(*length))?;
            (1..=SYMBOL_BYTES).contains(&bytes.len()).then(|| Symbol::of(bytes))
        };
        Some(Self::new(lengths.iter().map(symbol).collect::<Option<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(symbols: &Symbols, string: &[u8]) -> usize {
        let mut codes = Vec::new();
        symbols.encode(string, &mut codes);
        assert_eq!(symbols.decode(&codes).as_deref(), Some(string));
        codes.len()
    }

    #[test]
    fn strings_alike_become_short_and_all_come_back() {
        let strings: Vec<String> =
            (0..5000).map(|i| format!("user{}@company{}.example", i * 37, i * 37)).collect();
        let sample: Vec<&[u8]> = strings.iter().take(1000).map(String::as_bytes).collect();
        let symbols = Symbols::of(&sample);
        let (mut plain, mut short) = (0, 0);
        for string in &strings {
            plain += string.len();
            short += again(&symbols, string.as_bytes());
        }
        assert!(short * 3 < plain, "{short} of {plain}");
        for other in ["", "a", "\u{fffd}\u{0}\u{0}", "us", "@", "user", "XYZ user5@company"] {
            again(&symbols, other.as_bytes());
        }
        again(&Symbols::of(&[]), "without any symbol".as_bytes());
        let zeros = Symbols::of(&[&[0; 100]]);
        assert!((0..40).all(|length| again(&zeros, &vec![0; length]) <= length));
    }

    #[test]
    fn a_table_comes_back_and_what_is_none_does_not() {
        let symbols = Symbols::of(&[b"abcdefghijkl".as_slice(); 9]);
        let mut bytes = Vec::new();
        symbols.write(&mut bytes);
        let read = Symbols::read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(read.list, symbols.list);
        for cut in 0..bytes.len() {
            assert!(Symbols::read(&mut Reader::new(&bytes[..cut])).is_none(), "{cut}");
        }
        assert!(Symbols::read(&mut Reader::new(&[1, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9])).is_none());
        assert!(Symbols::read(&mut Reader::new(&[1, 0])).is_none());
        assert_eq!(read.decode(&[ESCAPE]), None);
        assert_eq!(read.decode(&[symbols.list.len() as u8]), None);
    }
}
