//! What can be changed from pages: forms that are sent with a session, and only from pages of this server. Each change is followed by a
//! page to see what came of it, so that loading it again changes nothing.

use std::collections::{BTreeMap, HashMap};

use maud::{Markup, html};

use super::view::{self, Answered, link, person_path};
use super::{
    Context, Page, Visit, accounts, again, confirm, dictionary, edit, form, keys, overview, pairs_of,
    projects, retention, session, words,
};
use crate::app::saved::SavedKind;
use crate::app::{App, Dashboard, Share};
use crate::error::{Error, ErrorKind, Result};
use crate::http::auth::{KeyHash, new_token};
use crate::http::message::{Request, Response};
use crate::http::respond;
use crate::model::{Json, Nobody, format_millis};
use crate::report::params;

/// Something that a page can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Join two persons.
    Merge,
    /// Take an identity out of its person.
    Unmerge,
    /// Erase a person for good.
    Erase,
    /// Save a report under a name.
    SaveReport,
    /// Delete it.
    DeleteReport,
    /// Show it on the overview.
    Pin,
    /// No longer.
    Unpin,
    /// Save an audience under a name.
    SaveAudience,
    /// Delete it.
    DeleteAudience,
    /// Make a link that shows a report.
    Share,
    /// End it.
    EndShare,
    /// Zone, week and robots.
    Settings,
    /// End all sessions but the one that asks.
    EndSessions,
    /// Give somebody access.
    AddUser,
    /// Change what they may do.
    SetRole,
    /// Make a link with which they choose a password.
    NewLink,
    /// Take their access away.
    RemoveUser,
    /// Change one's own password.
    OwnPassword,
    /// Make a project.
    CreateProject,
    /// Give this one another name.
    RenameProject,
    /// Delete a project with everything in it.
    DeleteProject,
    /// Make a key.
    CreateKey,
    /// Make another API key in the place of the first one.
    ReplaceKey,
    /// End a key.
    RevokeKey,
    /// Change how long events are kept.
    Retain,
    /// Say how pages show an event.
    DescribeEvent,
    /// Fill an empty store with generated data.
    Demo,
}

/// The parameter of an address that says under which name its report was just saved. It is no part of the report.
pub const SAVED_AS: &str = "saved_as";

/// Pages that a link can show to whoever has it: reports, and no list of people.
const SHARED: [Page; 6] =
    [Page::Funnels, Page::Cohorts, Page::Revenue, Page::Experiments, Page::Trends, Page::Paths];

/// The page at a path, if a link can show it.
pub fn shared_page(path: &str) -> Option<Page> {
    SHARED.into_iter().find(|page| view::path(*page) == path)
}

/// The fields of a form.
pub struct Form(HashMap<String, String>);

impl Form {
    /// A field as it was sent; empty if it was not.
    pub fn raw(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field without the spaces around it; empty if it was not sent.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }

    /// All fields once more, for a form that sends them again.
    pub fn hidden(&self) -> Markup {
        let fields: BTreeMap<&String, &String> = self.0.iter().collect();
        html! { @for (name, value) in fields { input type="hidden" name=(name) value=(value); } }
    }

    /// A field that must not be empty.
    pub fn required(&self, name: &'static str) -> Result<&str> {
        Some(self.get(name))
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Error::invalid("missing_field", format!("\"{name}\" is missing")).at(name))
    }
}

/// Makes a change that a page of ours asked for, for whoever has a session. `identity` is that of the address.
pub fn change(visit: &Visit<'_>, change: Change, request: &Request, identity: &str) -> Result<Response> {
    let form = Form(form_urlencoded::parse(&request.body).into_owned().collect());
    let asked = confirm::before(visit, change, request, &form);
    let made = match asked {
        Ok(Some(question)) => Ok(question),
        Ok(None) => made(visit, change, request, &form, identity),
        Err(error) => Err(error),
    };
    made.or_else(|error| Ok(again::refused(visit, change, request, &form, &error)))
}

fn made(
    visit: &Visit<'_>,
    change: Change,
    request: &Request,
    form: &Form,
    identity: &str,
) -> Result<Response> {
    let app = visit.app;
    let next = match change {
        Change::Merge => {
            app.merge(identity, form.required("into")?)?;
            person_path(identity)
        }
        Change::Unmerge => {
            app.unmerge(identity)?;
            person_path(identity)
        }
        Change::Erase => return erase(visit, identity, form.get("confirm")),
        Change::SaveReport => return save_report(visit, form),
        Change::DeleteReport => {
            let name = form.required("name")?;
            app.forget(SavedKind::Report, name)?;
            pin(app, name, false)?
        }
        Change::Pin | Change::Unpin => pin(app, form.required("name")?, change == Change::Pin)?,
        Change::SaveAudience => {
            let people = edit::all_of(form.required("people")?);
            let body = edit::search(people).to_string();
            app.save(SavedKind::Audience, form.required("name")?, &body)?;
            link("/people", &[], &[("among", form.get("name"))])
        }
        Change::DeleteAudience => {
            app.forget(SavedKind::Audience, form.required("name")?)?;
            "/settings".to_owned()
        }
        Change::Share => return share(visit, request, form.required("address")?),
        Change::EndShare => {
            let hash = form.required("hash")?;
            set(app, |dashboard| dashboard.shares.retain(|share| share.token_sha256 != hash))?
        }
        Change::Settings => count(app, form)?,
        Change::EndSessions => {
            visit.sessions.end_others(request, &visit.who);
            "/settings".to_owned()
        }
        Change::AddUser | Change::SetRole | Change::NewLink | Change::RemoveUser | Change::OwnPassword => {
            return accounts::change(visit, change, request, form);
        }
        Change::CreateProject => return projects::create(visit, request, form),
        Change::RenameProject => return projects::rename(visit, form),
        Change::DeleteProject => return projects::delete(visit, form),
        Change::CreateKey | Change::ReplaceKey | Change::RevokeKey => {
            return keys::change(visit, change, form);
        }
        Change::Retain => return retention::change(visit, form),
        Change::DescribeEvent => dictionary::change(visit, form)?,
        Change::Demo => {
            if !app.fill_with_demo()? {
                let message = "there are records already; demo data would be mixed up with them";
                return Err(Error::new(ErrorKind::Conflict, "not_empty", message));
            }
            "/".to_owned()
        }
    };
    Ok(session::see(&next))
}

/// Erases a person whose name was typed in once more, and shows the receipt.
fn erase(visit: &Visit<'_>, identity: &str, confirm: &str) -> Result<Response> {
    if confirm != identity.trim() {
        let message = "the name that was typed in is another one, so nobody was erased";
        return Err(Error::invalid("not_confirmed", message).at("confirm"));
    }
    let receipt = visit.app.erase(&[identity.to_owned()])?;
    let (erased, zone) = (receipt.erased, words::zone(&visit.app.dashboard().tz));
    let row = |what: &'static str, n: u64| (what, html! { (view::count(n)) });
    let body = html! {
        p.headline { "It is done: no report, list or file of this store holds anything of them." }
        (view::facts(&[
            row("Identities", erased.identities),
            row("Events", erased.events),
            row("Times properties were set", erased.sets),
            row("Links between identities", erased.identifies),
            row("Refusals kept", erased.refusals),
            row("Saved definitions that named them", receipt.saved as u64),
            ("Done", html! { time { (words::instant(&zone, &receipt.at.as_str().into())) } }),
        ]))
        p { "Backups made before still hold them. Whoever comes under one of the names later is somebody new." }
        p { a href="/people" { "People" } }
    };
    Ok(view::respond(visit, Page::People, Answered::new("Erased", body)))
}

/// Saves a report, and shows it once more with the name that it has now.
fn save_report(visit: &Visit<'_>, form: &Form) -> Result<Response> {
    let app = visit.app;
    let (name, report) = (form.required("name")?, form.required("report")?);
    let query = Json::parse(form.required("query")?)?;
    if let Some(taken) = app.reports().saved().reports.get(name)
        && form.get("replace").is_empty()
        && (taken.report != report || Json::parse(&taken.query)? != query)
    {
        return Ok(name_taken(visit, form, name, &taken.report, &Json::parse(&taken.query)?));
    }
    app.save(
        SavedKind::Report,
        name,
        &Json::object([("report", report.into()), ("query", query.clone())]).to_string(),
    )?;
    pin(app, name, !form.get("pinned").is_empty())?;
    let back = session::local(form.get("back"));
    let back = if back == "/" { overview::address(&app.dashboard(), report, &query) } else { back };
    let (path, query) = back.split_once('?').unwrap_or((&back, ""));
    Ok(session::see(&link(path, &pairs_of(query), &[(SAVED_AS, name)])))
}

/// Asks for another name, or whether the report that has this one is to make place.
fn name_taken(visit: &Visit<'_>, form: &Form, name: &str, report: &str, query: &Json) -> Response {
    let back = session::local(form.get("back"));
    let kept = html! { @for field in ["report", "query", "back", "pinned"] {
        @let value = form.raw(field);
        @if !value.is_empty() { input type="hidden" name=(field) value=(value); }
    } };
    let body = html! {
        p.problem role="alert" {
            "There is another report of this name, a " (report) ": "
            a href=(overview::address(&visit.app.dashboard(), report, query)) { (name) }
            ". Nothing was saved so far."
        }
        form.row method="post" action="/reports" {
            (kept)
            (form::field("Report name", "name", name, ""))
            button { "Save report" }
        }
        form method="post" action="/reports" {
            (kept)
            input type="hidden" name="name" value=(name);
            input type="hidden" name="replace" value="1";
            button.quiet { "Replace the other one" }
        }
        p { a href=(back) { "Back to the report" } }
    };
    let made = Answered::new("This name is taken", body).with_status(respond::status(ErrorKind::Conflict));
    view::respond(visit, Page::Settings, made)
}

/// Changes what the dashboard remembers; where to go on.
fn set(app: &App, change: impl FnOnce(&mut Dashboard)) -> Result<String> {
    app.change_dashboard(|dashboard| {
        change(dashboard);
        Ok(())
    })?;
    Ok("/settings".to_owned())
}

/// Changes how days and weeks are counted, and who counts.
fn count(app: &App, form: &Form) -> Result<String> {
    let nobody = Nobody::parse(form.get("nobody"))?;
    set(app, |dashboard| {
        form.get("tz").clone_into(&mut dashboard.tz);
        form.get("week_start").clone_into(&mut dashboard.week_start);
        dashboard.without_robots = form.get("robots") == "without";
        dashboard.nobody = nobody;
    })
}

/// Shows a saved report on the overview, or no longer.
fn pin(app: &App, name: &str, pinned: bool) -> Result<String> {
    set(app, |dashboard| {
        if pinned {
            dashboard.pinned.insert(name.to_owned());
        } else {
            dashboard.pinned.remove(name);
        }
    })
}

/// Makes a link to the report at an address of ours, and shows it this once.
fn share(visit: &Visit<'_>, request: &Request, address: &str) -> Result<Response> {
    let app = visit.app;
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let not_shared = || Error::invalid("not_shared", "only reports can be shared").at("address");
    let page = shared_page(path).ok_or_else(not_shared)?;
    let token = new_token()?;
    let share = Share {
        token_sha256: KeyHash::of(&token).to_hex(),
        path: path.to_owned(),
        query: link("", &edit::tidy(&pairs_of(query)), &[]).trim_start_matches('?').to_owned(),
        made: format_millis(app.now()),
    };
    app.change_dashboard(|dashboard| {
        dashboard.shares.push(share);
        Ok(())
    })?;
    let target = projects::absolute(visit, request, &format!("/shared/{token}"));
    let body = html! {
        p { "Whoever has this link sees the report, as it is whenever they look, and nothing else. It is shown this once:" }
        pre tabindex="0" { code { a href=(target) { (target) } } }
        p { a href=(address) { "Back to the report" } " \u{b7} " a href="/settings" { "All links" } }
    };
    Ok(view::respond(visit, page, Answered::new("A link to this report", body)))
}

/// The query of a report as it is saved: what was asked with its days, which stay the same, and not when it was asked.
pub fn kept_query(context: &Context<'_>, report: &str, answer: &Json) -> String {
    let pairs = context.with_defaults(&view::without(&context.pairs, &["add", "over", "who", "cursor"]));
    params::query(report, pairs).unwrap_or_else(|_| answer["receipt"]["query"].to_string())
}

/// Whether a request comes from a page of this server. Browsers say so themselves; older ones, and those that came without TLS, name
/// the origin. What says neither was not sent by a form of ours.
pub fn from_own_page(request: &Request) -> bool {
    match request.headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => {
            let origin = request.headers.get("origin").and_then(|origin| origin.split_once("://"));
            let host = request.headers.get("host");
            origin.zip(host).is_some_and(|((_, origin), host)| origin.eq_ignore_ascii_case(host))
        }
    }
}

/// Whether a request says that it comes from another site's page. Programs say nothing.
pub fn from_foreign_page(request: &Request) -> bool {
    let says = ["sec-fetch-site", "origin"].into_iter().any(|name| request.headers.get(name).is_some());
    says && !from_own_page(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::{Headers, Method};

    #[test]
    fn only_own_pages_change_anything() {
        let sent = |fields: &[(&str, &str)]| {
            let mut headers = Headers::default();
            headers.push("Host", "stats.example.com:8080");
            fields.iter().for_each(|(name, value)| headers.push(name, value));
            let peer = std::net::IpAddr::from([127, 0, 0, 1]);
            let (path, query) = ("/settings".to_owned(), String::new());
            from_own_page(&Request { method: Method::Post, path, query, headers, body: Vec::new(), peer })
        };
        assert!(
            sent(&[("Sec-Fetch-Site", "same-origin")])
                && sent(&[("Origin", "http://stats.example.com:8080")])
        );
        for foreign in [
            &[][..],
            &[("Sec-Fetch-Site", "cross-site")],
            &[("Sec-Fetch-Site", "same-site"), ("Origin", "http://stats.example.com:8080")],
            &[("Sec-Fetch-Site", "none")],
            &[("Origin", "null")],
            &[("Origin", "http://evil.test")],
            &[("Origin", "http://stats.example.com:8080.evil.test")],
        ] {
            assert!(!sent(foreign), "{foreign:?}");
        }
    }
}
