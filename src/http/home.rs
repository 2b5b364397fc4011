//! The first page: says what this is and where to go on.

use super::message::Response;

const PAGE: &str = include_str!("home.html");

/// The page.
pub fn page() -> Response {
    Response::new(200, "text/html; charset=utf-8", PAGE.as_bytes())
        .with(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        )
        .with("Cache-Control", "no-store")
}
