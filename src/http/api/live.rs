//! What happens, as it happens.

use std::io::Write;
use std::sync::Arc;

use super::Api;
use crate::app::live;
use crate::error::{Error, Result};
use crate::http::message::{Request, Response};
use crate::http::projects::Project;
use crate::http::router::Route;

impl Api {
    /// The answer to whoever watches a project. It goes on for as long as they would be let in once more.
    pub(super) fn watch(&self, project: &Project, route: &Route, request: &Request) -> Result<Response> {
        // The header is what a browser's event source sends when it comes back; the address that it was opened with stays.
        let since = request.headers.get("last-event-id").map(str::to_owned).filter(|id| !id.is_empty());
        let since = since.or_else(|| request.parameter("since"));
        let number = |text: String| {
            text.parse().map_err(|_| Error::invalid("bad_number", "the id of an event expected").at("since"))
        };
        let watch = live::Watch {
            event: super::event(request),
            person: request.parameter("person"),
            since: since.map(number).transpose()?,
        };
        // Whoever holds the project itself would keep it from being deleted.
        let (app, id) = (Arc::clone(&project.app), project.id);
        let (api, route, request) = (self.clone(), *route, request.clone());
        let may = move || {
            let project = api.projects.get(id);
            project.is_some_and(|project| api.may(&project, &route, &request).is_ok())
        };
        let body = move |out: &mut dyn Write| live::watch(app.engine(), &watch, &may, out);
        // Proxies that collect answers would hold events back.
        Ok(Response::stream("text/event-stream", Box::new(body)).with("X-Accel-Buffering", "no"))
    }
}
