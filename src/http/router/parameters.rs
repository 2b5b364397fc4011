//! The parameters that each route of the API takes in its address. Whatever else stands there is a mistake and not left out: who
//! asks for `persn=zed` must not get everybody.

use super::{Action, Route};
use crate::error::Result;
use crate::http::message::{Method, Request};
use crate::report::params;

impl Route {
    /// The names; none of the routes of pages, of senders and of monitoring, which take or leave what comes.
    fn parameters(&self) -> Option<&'static [&'static str]> {
        Some(match self.action {
            Action::Report(_) if self.method == Method::Get => &["q"],
            Action::PersonEvents => &["event", "limit", "cursor"],
            Action::Events => &["limit", "cursor"],
            Action::Properties => &["of"],
            Action::PropertyValues => &["of", "event", "containing", "limit"],
            Action::Live => &["event", "person", "since"],
            Action::Export => &["format", "person"],
            Action::Import => &["format"],
            _ if self.pattern.starts_with("/api/") => &[],
            _ => return None,
        })
    }

    /// An error if the address has a parameter that the route does not take, or one twice.
    pub fn check_parameters(&self, request: &Request) -> Result<()> {
        let Some(known) = self.parameters() else { return Ok(()) };
        // A report in its text form has those of its definition, and is checked when that is read.
        if known == ["q"] && request.parameter("q").is_none() {
            return Ok(());
        }
        params::check(form_urlencoded::parse(request.query.as_bytes()), known)
    }
}
