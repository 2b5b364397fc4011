//! Records in bulk.

use std::io::Read;

use super::{Api, written};
use crate::app::Form;
use crate::error::{Error, Result};
use crate::http::auth;
use crate::http::front::UNPACKED_HEADER;
use crate::http::message::{Request, Response};
use crate::http::router::{Access, Route};
use crate::transfer::format::Format;

impl Api {
    /// The answer to an import.
    pub(super) fn import(
        &self,
        route: &Route,
        request: &Request,
        body: &mut (dyn Read + Send),
    ) -> Result<Response> {
        let key = auth::presented(request);
        let project = self.projects.of_key(key.as_deref());
        project.check(Access::WriteOrRead, key.as_deref())?;
        route.check_parameters(request)?;
        // The write key is public.
        let tracks = project.check(Access::Manage, key.as_deref()).is_err();
        let names_max = tracks.then(|| project.app.names_max());
        let _turn = tracks.then(|| self.limits.imports(request.peer)).transpose()?;
        project.app.engine().healthy()?;
        let by_type = (request.media_type().as_deref() == Some("text/csv")).then(|| "csv".to_owned());
        let format = request.parameter("format").or(by_type).unwrap_or_else(|| "ndjson".to_owned());
        let format = Format::parse(&format).ok_or_else(|| {
            let error = Error::invalid("bad_format", format!("there is no form \"{format}\"")).at("format");
            error.hint("ndjson, csv or kissmetrics")
        })?;
        let plain = request.headers.get(UNPACKED_HEADER).is_some();
        let form = Form { format: Some(format), names_max, plain, ..Form::default() };
        written(&project.app.import(body, &form, |_| {}, |_| {})?)
    }
}
