fn main() {
    let args: Vec<String> = std::env::args().collect();
    let engine = whodid::engine::Engine::open(std::path::Path::new(&args[2]), Default::default()).unwrap();
    let t = std::time::Instant::now();
    let f = std::fs::File::open(&args[1]).unwrap();
    let (mut stored, mut dup, mut bad, mut refused) = (0u64, 0u64, 0u64, 0u64);
    let now = 1_790_000_000_000i64;
    whodid::transfer::lines::for_each_block(f, 2, now, |lines| {
        let mut recs = Vec::new();
        for (_, r) in lines { match r { Ok(r) => recs.push(r), Err(_) => bad += 1 } }
        for o in engine.write(recs)? { match o { whodid::engine::Outcome::Stored => stored += 1, whodid::engine::Outcome::Duplicate => dup += 1, _ => refused += 1 } }
        Ok(())
    }).unwrap();
    println!("stored {stored} dup {dup} refused {refused} bad {bad} {:?}", t.elapsed());
    engine.flush().unwrap();
    println!("flushed {:?} {:?}", t.elapsed(), engine.snapshot().segments.iter().map(|s| s.directory().rows).collect::<Vec<_>>());
    if args.len() > 3 { engine.compact().unwrap(); println!("compacted {:?} {} bytes persons {}", t.elapsed(), engine.disk_bytes(), engine.snapshot().persons.persons()); }
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    for l in s.lines().filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS") || l.starts_with("RssAnon")) { println!("{l}"); }
}
