//! The `serve` command: opens the store, makes keys at the first start, serves until it is told to stop.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::Serve;
use super::output;
use crate::app::{Accounts, App, DEMO_SIZE, Memory, SOCKETS, StoredKeys, Watch};
use crate::error::{Error, ErrorKind, Result};
use crate::http::api::Api;
use crate::http::auth::{KeyHash, new_api_key, new_write_key};
use crate::http::limit::Limits;
use crate::http::message::Method;
use crate::http::projects::Projects;
use crate::http::router::{self, Found};
use crate::http::{Config, Handler, Server};
use crate::limits;
use crate::model::parse_duration;

/// The funnel that `--demo` shows.
const DEMO_FUNNEL: &str = r#"{"steps":[{"event":"Visited Pricing Page"},{"event":"Started Free Trial"},
{"event":"Completed Onboarding"},{"event":"Purchased"}]}"#;
/// Serves until SIGINT or SIGTERM.
pub fn run(data: &Path, args: &Serve) -> Result<()> {
    let no_signals = |e| Error::new(ErrorKind::Io, "signals", format!("cannot wait for signals: {e}"));
    // Before all else, as it would end the process: a service can be told to reload while it starts. The others may end a start.
    let mut signals = Signals::new([SIGHUP]).map_err(no_signals)?;
    for key in [&args.write_key, &args.api_key].into_iter().flatten() {
        if key.len() < 8 || key == "changeme" {
            return Err(Error::invalid(
                "weak_key",
                "a key needs at least 8 characters and must not be a placeholder",
            )
            .hint("leave the option out to have one made"));
        }
    }
    let silent_after = args.silent_after.as_deref().map(parse_duration).transpose();
    let silent_after = silent_after.map_err(|e| e.at("--silent-after"))?;
    let tracker_path = args.tracker_path.as_deref().map(tracker_path).transpose()?;
    args.name.iter().try_for_each(|name| host_name(name))?;
    let memory = Memory::of(args.memory, data)?;
    let app = App::open_within(data, memory)?.limit_names(args.names).warn_below(args.disk_warning);
    let app = Arc::new(app.with_backups(args.backups.clone(), args.keep_backups.map(NonZero::get)));
    let keys = keys(data, args)?;
    if args.demo {
        fill(&app)?;
    }
    let projects = Projects::open(data.to_owned(), Arc::clone(&app), &keys.stored)?;
    let own_files = limits::PROJECT_FILES * projects.all().len();
    let limits = Limits::new(args.rate, args.key_rate, args.trusted_proxy.clone())
        .with_unpacked(memory.in_flight_bytes());
    let api = Api::new(projects, Accounts::load(data)?).with_limits(limits);
    // Whoever reads the log of a service later gets no way in from it; whoever sits at the terminal does.
    let shown = keys.new_api_key.is_some() || std::io::stdout().is_terminal();
    let login = shown.then(|| api.login_link()).transpose()?;
    let sockets = socket_dir(data)?;
    let mut config = Config::new(args.listen, sockets.clone());
    config.reserved_files += own_files;
    config.in_flight_bytes = memory.in_flight_bytes();
    config.names.clone_from(&args.name);
    config.tracker_path = tracker_path;
    config.trusted_proxies.clone_from(&args.trusted_proxy);
    [SIGINT, SIGTERM].into_iter().try_for_each(|signal| signals.add_signal(signal)).map_err(no_signals)?;
    let api = Arc::new(api);
    let mut server = Server::start(config, Arc::clone(&api) as Arc<dyn Handler>)?;
    keys.store_first(data)?;
    announce(&server, &keys, data, args.name.first(), login.as_deref())
        .inspect_err(|_| keys.forget_first(data))?;
    let silent_after = silent_after.map(|ms| Duration::from_millis(ms.unsigned_abs()));
    let watch = Watch::start(Arc::clone(&app), silent_after)?;
    log::info!("whodid {} serves {} on {}", env!("CARGO_PKG_VERSION"), data.display(), server.addr());
    if args.demo {
        show_funnel(&app)?;
    }
    if !args.listen.ip().is_loopback() {
        output::note("whodid: listening beyond this machine without TLS; put a proxy that has it in front");
    }
    let ends = |signal: &i32| *signal != SIGHUP || reload(&api);
    let signal = signals.forever().find(ends).unwrap_or_default();
    log::info!("signal {signal}: what runs is finished, then the store is closed");
    server.stop();
    drop((server, watch, api));
    if let Err(error) = std::fs::remove_dir_all(&sockets) {
        log::warn!("cannot remove {}: {error}", sockets.display());
    }
    match Arc::try_unwrap(app) {
        Ok(app) => app.close().inspect(|()| log::info!("the store is closed")),
        Err(shared) => shared.engine().healthy(),
    }
}

/// Takes the keys from their file again; the server goes on in any case, which is what `false` says.
fn reload(api: &Api) -> bool {
    let kept = api.reload_keys();
    for (project, error) in &kept {
        log::error!("the keys of project {project} stay as they were: {error}");
    }
    if kept.is_empty() {
        log::info!("the keys were read again");
    }
    false
}

/// The operator's path of the tracker, if it can be one and is nothing else's.
fn tracker_path(path: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    let bad = |message: &str| Error::invalid("bad_tracker_path", message).at("--tracker-path");
    if !path.starts_with('/') || path.len() > 255 || !path.chars().all(plain) {
        return Err(bad("a path of letters, digits and /-._~ is needed, such as /js/app.js"));
    }
    match router::find(Method::Get, path) {
        Found::Nothing => Ok(path.to_owned()),
        _ => Err(bad("this path is taken")),
    }
}

/// That a name is one that requests can be for.
fn host_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return Ok(());
    }
    let error = Error::invalid("bad_name", format!("\"{name}\" is no name of a host")).at("--name");
    Err(error.hint("such as stats.example.com, without https:// and path"))
}

/// Where the sockets between the front and its workers are: in the store, or if its path is too long for the name of a socket in a
/// directory of this process's own.
fn socket_dir(data: &Path) -> Result<PathBuf> {
    // A socket's whole path has at most 107 bytes, and its name takes some.
    const PATH_BYTES_MAX: usize = 70;
    let beside = data.join(SOCKETS);
    if beside.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok(beside);
    }
    // Unguessable, so that nobody else can have made it before.
    let random = new_write_key()?;
    Ok(std::env::temp_dir().join(format!("whodid-{}", random.get(..16).unwrap_or("sockets"))))
}

struct Keys {
    stored: StoredKeys,
    /// Whether the store has none yet. They are stored once the server has its address.
    first: bool,
    /// Shown once, when it was made.
    new_api_key: Option<String>,
}

impl Keys {
    fn store_first(&self, data: &Path) -> Result<()> {
        if self.first { self.stored.store(data) } else { Ok(()) }
    }

    /// Of a key that nobody has seen nothing but its hash would be left.
    fn forget_first(&self, data: &Path) {
        if self.first
            && let Err(error) = StoredKeys::forget(data)
        {
            log::error!("the keys that were not shown stay: {error}");
        }
    }
}

/// The keys of this start.
fn keys(data: &Path, args: &Serve) -> Result<Keys> {
    let known = StoredKeys::load(data)?;
    let mut new_api_key_text = None;
    let write_key = match (&args.write_key, &known) {
        (Some(key), _) => key.clone(),
        (None, Some(known)) => known.write_key.clone(),
        (None, None) => new_write_key()?,
    };
    let given = args.api_key.as_ref().map(|key| KeyHash::of(key).to_hex());
    let (more, replaced) = known.clone().map(|known| (known.more, known.replaced)).unwrap_or_default();
    let was_replaced = |hash: &String| {
        let was = replaced.contains(hash);
        if was {
            log::warn!(
                "the API key that the server is started with was replaced, so it is passed over: the new one is good"
            );
        }
        was
    };
    let api_key_sha256 = match (given.filter(|hash| !was_replaced(hash)), &known) {
        (Some(hash), _) => hash,
        (None, Some(known)) => known.api_key_sha256.clone(),
        (None, None) => {
            let key = new_api_key()?;
            let hash = KeyHash::of(&key).to_hex();
            new_api_key_text = Some(key);
            hash
        }
    };
    let stored = StoredKeys { write_key, api_key_sha256, more, replaced };
    if known.as_ref().is_some_and(|known| *known != stored) {
        stored.store(data)?;
    }
    Ok(Keys { first: known.is_none(), stored, new_api_key: new_api_key_text })
}

/// Says where the server is. `name` is what requests from outside are for, and where its pages are then.
fn announce(
    server: &Server,
    keys: &Keys,
    data: &Path,
    name: Option<&String>,
    login: Option<&str>,
) -> Result<()> {
    let mut here = server.addr();
    output::line(&format!("whodid listens on http://{here}  (store: {})", data.display()))?;
    // All addresses of this machine are none that a browser can go to.
    if here.ip().is_unspecified() {
        here.set_ip(if here.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let site = name.map_or_else(|| format!("http://{here}"), |name| format!("https://{name}"));
    output::line(&format!("dashboard: {site}/"))?;
    output::line(&format!("write key: {}", keys.stored.write_key))?;
    let script = format!("{site}/{}.2.js", keys.stored.write_key);
    output::line(&format!("tracker:   <script async src=\"{script}\"></script>"))?;
    if let Some(key) = &keys.new_api_key {
        output::line(&format!("API key:   {key}\n           shown this once: only its hash is kept"))?;
    }
    if let Some(login) = login {
        output::line(&format!("log in:    {site}{login}\n           works once, within an hour"))?;
    }
    Ok(())
}

/// Fills an empty store with generated data.
fn fill(app: &App) -> Result<()> {
    if app.snapshot().rows() > 0 {
        return Ok(());
    }
    let (people, events) = DEMO_SIZE;
    output::line(&format!("filling the empty store with {events} events of {people} generated people ..."))?;
    app.fill_with_demo().map(drop)
}

fn show_funnel(app: &App) -> Result<()> {
    let answer = app.reports().answer("funnel", &app.snapshot(), DEMO_FUNNEL, app.now())?;
    super::read::print_funnel(DEMO_FUNNEL, &answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tracker_takes_no_path_that_is_something_else() {
        assert_eq!(tracker_path("/js/app.js").unwrap(), "/js/app.js");
        for taken in ["/", "/e", "/i.js", "/api/v1/funnel", "/api/v1/people/x", "/0.2.js"] {
            assert!(tracker_path(taken).unwrap_err().message().contains("taken"), "{taken}");
        }
        for bad in ["app.js", "", "/a b", "/a?b", "/caf\u{e9}.js"] {
            assert_eq!(tracker_path(bad).unwrap_err().code(), "bad_tracker_path", "{bad}");
        }
    }
}
