//! The first page: says what this is and where to go on.

use super::message::Response;

const PAGE: &str = include_str!("home.html");

/// The page.
pub fn page() -> Response {
    Response::new(200, "text/html; charset=utf-8", PAGE.as_bytes())
        .with(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'sha256-jd9P6JTXcMEf8ec8nEjjvWvmLYDfjg+lRxmTn9pKf0k='; base-uri 'none'; frame-ancestors 'none'",
        )
        .with("Cache-Control", "no-store")
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::http::auth::base64_url;

    #[test]
    fn the_policy_allows_the_style_of_the_page_and_no_other() {
        let style = PAGE.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
        let hash = base64_url(&Sha256::digest(style)).replace('-', "+").replace('_', "/");
        let page = page();
        let policy = page.headers().find(|(name, _)| *name == "Content-Security-Policy").unwrap().1;
        assert!(policy.contains(&format!("style-src 'sha256-{hash}='")), "{hash}: {policy}");
    }
}
