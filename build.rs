//! Makes the browser's tracker: joins the files of `src/tracker` into one function, minifies it and compresses it, so
//! that the binary holds what it serves and nobody needs a JavaScript toolchain.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_minifier::{Minifier, MinifierOptions};
use oxc_parser::Parser;
use oxc_span::SourceType;

/// In the order in which they are joined: a file uses what those before it declare.
const FILES: [&str; 12] = [
    "config.js",
    "url.js",
    "cookies.js",
    "privacy.js",
    "queue.js",
    "identity.js",
    "record.js",
    "clicks.js",
    "forms.js",
    "visit.js",
    "pages.js",
    "start.js",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("src/tracker");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/tracker");
    let mut source = "(function(){\"use strict\";\n".to_owned();
    for file in FILES {
        source.push_str(&fs::read_to_string(folder.join(file))?);
    }
    source.push_str("})();\n");
    let source = source.replace("WHODID_VERSION", env!("CARGO_PKG_VERSION"));
    let text = minify(&source)?;
    let mut gzipped = GzEncoder::new(Vec::new(), Compression::best());
    gzipped.write_all(text.as_bytes())?;
    let out = std::env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("tracker.js"), &text)?;
    fs::write(Path::new(&out).join("tracker.js.gz"), gzipped.finish()?)?;
    Ok(())
}

fn minify(source: &str) -> Result<String, Box<dyn Error>> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::cjs()).parse();
    if let Some(error) = parsed.errors.first() {
        return Err(format!("src/tracker: {error:?}").into());
    }
    let mut program = parsed.program;
    let minified = Minifier::new(MinifierOptions::default()).minify(&allocator, &mut program);
    let writer = Codegen::new().with_options(CodegenOptions::minify()).with_scoping(minified.scoping);
    Ok(ascii(&writer.build(&program).code))
}

/// The writer unpacks escapes in texts; a page may declare an encoding in which they would mean something else.
fn ascii(text: &str) -> String {
    let mut units = [0; 2];
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => {
                c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")))
            }
        }
    }
    out
}
