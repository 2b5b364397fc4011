//! Makes the browser's tracker of its sources: one function around all of them, made small.

use std::path::Path;
use std::{env, fs, io};

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_minifier::{Minifier, MinifierOptions};
use oxc_parser::Parser;
use oxc_span::SourceType;

const HEAD: &str = "(function(window,document,serverKey){'use strict';if(window.KM&&window.KM.whodid)return;";
/// The server puts the write key in where it stands here.
const TAIL: &str = "})(window,document,'WRITE_KEY');\n";

fn main() -> io::Result<()> {
    let dir = Path::new("src/tracker");
    println!("cargo:rerun-if-changed={}", dir.display());
    let mut sources: Vec<_> =
        fs::read_dir(dir)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "js"));
    sources.sort();
    let mut script = String::from(HEAD);
    for source in sources {
        println!("cargo:rerun-if-changed={}", source.display());
        script.push_str(&fs::read_to_string(source)?);
        script.push('\n');
    }
    script.push_str(TAIL);
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("tracker.js"), minified(&script)?)
}

fn minified(script: &str) -> io::Result<String> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, script, SourceType::cjs()).parse();
    if let Some(mistake) = parsed.diagnostics.first() {
        return Err(io::Error::other(format!("src/tracker: {mistake}")));
    }
    let mut program = parsed.program;
    let made = Minifier::new(MinifierOptions::default()).minify(&allocator, &mut program);
    let codegen = Codegen::new().with_options(CodegenOptions::minify()).with_scoping(made.scoping);
    Ok(codegen.build(&program).code)
}
