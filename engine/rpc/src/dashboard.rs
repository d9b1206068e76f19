//! The page for people: one file, which asks the node that it came from and nobody else.
//!
//! A browser is told to hold it to that: its policy names this page's own script and style by their hashes, lets it connect
//! to its own origin, and nothing else.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, StatusCode, header};
use jsonrpsee::server::HttpResponse;
use sha2::{Digest as _, Sha256};

use crate::answer::answer;

/// The page.
const PAGE: &str = include_str!("dashboard.html");

/// What the page may do in a browser.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash_of("script"),
        hash_of("style")
    );
    HeaderValue::from_str(&policy).expect("base64 and words are visible ASCII")
});

/// The hash of what an element of the page holds, as a policy names it.
fn hash_of(element: &str) -> String {
    let (_, after) = PAGE
        .split_once(&format!("<{element}>"))
        .expect("the page has one");
    let (content, _) = after.split_once(&format!("</{element}>")).expect("it is closed");
    BASE64_STANDARD.encode(Sha256::digest(content))
}

/// The page with its policy.
pub(crate) fn page() -> HttpResponse {
    let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere() {
        for elsewhere in [
            "http://",
            "https://",
            "src=",
            "href=",
            "@import",
            "url(",
            "innerHTML",
            "eval(",
            " style=\"",
            " onclick",
        ] {
            let found: Vec<_> = PAGE.lines().filter(|line| line.contains(elsewhere)).collect();
            let is_namespace = |line: &&str| line.contains("http://www.w3.org/2000/svg");
            assert!(found.iter().all(is_namespace), "{elsewhere}: {found:?}");
        }
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("<style").count(), 1);
    }

    #[test]
    fn the_policy_names_script_and_style() {
        let response = page();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'sha256-"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }
}
