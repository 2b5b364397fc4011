//! Which page of ours a request was sent from: the way back to it when nothing comes of the request.

use super::changes::from_own_page;
use super::{Page, session};
use crate::app::Role;
use crate::http::message::{Method, Request};
use crate::http::router::{self, Action, Found};

/// The page that a form was on, or a link.
pub struct Before {
    pub page: Page,
    /// Its address, with the project if that was named.
    pub address: String,
    /// The project that it was of; none if it was not named.
    pub project: Option<u32>,
    /// What it takes to see it.
    pub role: Role,
    /// Whose page it is; empty if it is nobody's.
    pub identity: String,
}

impl Before {
    /// As the browser says. What is no page, such as the answer to another form, is nowhere to go back to.
    pub fn of(request: &Request) -> Option<Self> {
        if !from_own_page(request) {
            return None;
        }
        let (_, behind) = request.headers.get("referer")?.split_once("://")?;
        let address = session::local(behind.get(behind.find('/')?..)?);
        let (project, path) = router::split(address.split('?').next()?);
        let Found::Route(route) = router::find(Method::Get, path) else { return None };
        let Action::Page(page) = route.action else { return None };
        let identity = route.parameter(path).ok()?.trim().to_owned();
        Some(Self { page, project, role: route.role(), identity, address: address.clone() })
    }

    /// Its address, or where everybody may go.
    pub fn address(request: &Request) -> String {
        Self::of(request).map_or_else(|| "/".to_owned(), |before| before.address)
    }

    /// The request for it.
    pub fn request(&self, sent: &Request) -> Request {
        let (path, query) = self.address.split_once('?').unwrap_or((&self.address, ""));
        Request {
            method: Method::Get,
            path: router::split(path).1.to_owned(),
            query: query.to_owned(),
            body: Vec::new(),
            ..sent.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Headers;

    fn before(fields: &[(&str, &str)]) -> Option<Before> {
        let mut headers = Headers::default();
        fields.iter().for_each(|(name, value)| headers.push(name, value));
        let peer = std::net::IpAddr::from([127, 0, 0, 1]);
        let (path, query) = ("/reports".to_owned(), String::new());
        Before::of(&Request { method: Method::Post, path, query, headers, body: Vec::new(), peer })
    }

    #[test]
    fn the_way_back_leads_to_a_page_of_ours_alone() {
        let own = ("Sec-Fetch-Site", "same-origin");
        let sent = |referer: &str| before(&[own, ("Referer", referer)]).map(|before| before.address);
        assert_eq!(sent("https://a.test/funnels?step=A%20B").as_deref(), Some("/funnels?step=A%20B"));
        assert_eq!(sent("http://a.test/p/2/settings").as_deref(), Some("/p/2/settings"));
        for none in
            ["https://a.test", "https://a.test/reports", "https://a.test/api/v1/stats", "/funnels", ""]
        {
            assert_eq!(sent(none), None, "{none:?}");
        }
        assert_eq!(sent("https://a.test//evil.test/funnels").as_deref(), Some("/"));
        let person = before(&[own, ("Referer", "http://a.test/p/2/people/a%2Fb/erase?x=1")]).unwrap();
        assert_eq!((person.page, person.identity.as_str(), person.project), (Page::Erase, "a/b", Some(2)));
        let foreign = [("Sec-Fetch-Site", "cross-site"), ("Referer", "https://evil.test/funnels")];
        assert!(before(&foreign).is_none() && before(&foreign[1..]).is_none());
    }
}
