//! Answers of plain HTTP: a status, a content type and a body that is at hand.

use http::{HeaderValue, StatusCode, header};
use jsonrpsee::server::{HttpBody, HttpResponse};

pub(crate) const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// An answer with `body`, which is of `content_type`.
pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<HttpBody>,
) -> HttpResponse {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
