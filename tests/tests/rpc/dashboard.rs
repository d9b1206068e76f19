//! The page that a node serves, in a browser; and the terminal's view of the same node.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::browser::{Browser, Page};
use crate::process::{self, Running};
use crate::socket;

const WORKING: [&str; 6] = ["--load", "token", "--rate", "40", "--block-interval-ms", "50"];

#[test]
fn the_page_comes_with_a_policy_that_lets_it_do_nothing_else() {
    let chain = Running::start(&[]);
    let page = socket::get(chain.address(), "/dashboard");
    assert_eq!(page.status, 200);
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(page.headers.contains(header), "{header}: {}", page.headers);
    }
    // The rules for pages from elsewhere are the RPC's.
    let elsewhere = "GET /dashboard HTTP/1.1\r\norigin: https://example.com";
    assert_eq!(
        socket::request(chain.address(), chain.address(), elsewhere, "").status,
        403
    );
    assert_eq!(
        socket::request(chain.address(), "example.com", "GET /dashboard HTTP/1.1", "").status,
        403
    );
}

fn finalized(chain: &Running) -> u64 {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_status", "params": [] });
    let answer = socket::post(chain.address(), &body.to_string()).body;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["result"]["heights"]["finalized"].as_u64().unwrap()
}

fn number(page: &mut Page<'_>, id: &str) -> Option<u64> {
    page.text(id).replace(',', "").parse().ok()
}

#[test]
fn the_page_shows_the_heights_of_a_node_as_they_move_and_asks_nobody_else() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let chain = Running::start(&WORKING);
    chain.metrics_after(5);
    let before = finalized(&chain);
    let mut page = browser.open(&format!("{}/dashboard", chain.url()));
    page.until(
        "connected",
        "document.getElementById('connection').textContent === 'connected'",
    );
    let first = number(&mut page, "finalized").unwrap();
    assert!((before..=finalized(&chain)).contains(&first), "{before} {first}");
    page.until(
        "heights move, and rates are known",
        &format!("shown.stages[1].height > {first} && shown.throughput.transactions > 0"),
    );
    let now = number(&mut page, "finalized").unwrap();
    assert!(first < now && now <= finalized(&chain), "{first} {now}");
    assert!(page.text("lag").ends_with(&format!(
        "of at most 4 blocks, largest {}",
        page.value("shown.lag.largest")
    )));
    assert!(page.text("plugin-name").starts_with("solo/1"));
    assert_eq!(page.text("plugin-state"), "healthy");
    assert_eq!(
        page.value("document.querySelectorAll('#lag-curve polyline').length"),
        1
    );
    page.until(
        "stages are timed",
        "shown.timings.length === 4 && shown.timings.every(timing => timing.mean_ms > 0 && timing.busy > 0) \
         && [...document.querySelectorAll('#timings meter')].filter(meter => meter.value > 0).length === 4",
    );
    let times = page.text("timings");
    assert!(
        times.starts_with("execute ") && times.contains(" ms, busy ") && times.contains("keep "),
        "{times}"
    );
    assert_eq!(
        page.value("document.querySelector('#rungs [aria-current]').textContent"),
        page.value("shown.pressure.rung")
    );
    let asked: Vec<&str> = page
        .events("Network.requestWillBeSent")
        .iter()
        .filter_map(|event| event["request"]["url"].as_str())
        .collect();
    assert!(
        asked.len() >= 4 && asked.iter().all(|url| url.starts_with(chain.url())),
        "{asked:?}"
    );
    let complaints: Vec<_> = page
        .events("Log.entryAdded")
        .iter()
        .filter(|event| event["entry"]["level"] == "error")
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    take_pictures(&mut page);
}

#[test]
fn the_page_says_that_a_node_is_held_back_and_that_it_is_gone() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let slow = [
        "--load",
        "transfer",
        "--rate",
        "50",
        "--block-interval-ms",
        "20",
        "--slow-execution",
        "500",
    ];
    let chain = Running::start(&slow);
    let mut page = browser.open(&format!("{}/dashboard", chain.url()));
    page.until("pressure", "shown.pressure.level > 0 && shown.alerts.length > 0");
    page.until(
        "the rung is marked and told",
        "document.querySelector('#rungs [aria-current]').textContent !== 'open' \
         && document.getElementById('alerts').textContent.includes('blocks are held back, rung')",
    );
    assert!(page.value("shown.lag.blocks").as_u64().unwrap() >= 1);
    drop(chain);
    page.until(
        "gone",
        "document.getElementById('connection').textContent === 'no answer'",
    );
    assert!(page.text("alerts").starts_with("no answer from the node: "));
    assert!(number(&mut page, "finalized").is_some(), "what was known stays");
}

/// All numbers as floating point: what a page calls 5 is 5.0 here.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[test]
fn the_model_of_the_page_is_the_model_of_the_terminal() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let chain = Running::start(&[]);
    let mut page = browser.open(&format!("{}/dashboard", chain.url()));
    let golden = include_str!("../../../engine/node/src/watch/golden.json");
    let golden: Value = serde_json::from_str(golden).unwrap();
    let models = page.value(&format!(
        "(samples => {{ let model = emptyModel(); return samples.map(sample => {{ model = takeSample(model, sample); \
         const {{ window, ...shown }} = structuredClone(model); return shown; }}); }})({})",
        golden["samples"]
    ));
    assert_eq!(plain(&models), plain(&golden["models"]));
}

/// With `MILLRACE_PICTURES=DIR`, the pictures of docs/operating.md, of a node under load whose data is on a disk, once the
/// curves have something to show.
#[expect(
    clippy::disallowed_methods,
    reason = "whether to take pictures comes from whoever runs the test"
)]
fn take_pictures(page: &mut Page<'_>) {
    let Ok(directory) = std::env::var("MILLRACE_PICTURES") else {
        return;
    };
    let directory: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory);
    std::fs::create_dir_all(&directory).unwrap();
    let data = tempfile::tempdir().unwrap();
    let chain = Running::start(&[
        "--load",
        "token",
        "--rate",
        "600",
        "--block-interval-ms",
        "100",
        "--data-dir",
        data.path().to_str().unwrap(),
    ]);
    page.call(
        "Page.navigate",
        &json!({ "url": format!("{}/dashboard", chain.url()) }),
    );
    let svg = directory.join("top.svg");
    let svg = svg.to_str().unwrap();
    process::text(&[
        "top",
        "--once",
        "--rpc",
        chain.url(),
        "--interval-ms",
        "300",
        "--samples",
        "110",
        "--svg",
        svg,
    ]);
    page.until("some history", "shown.history.length >= 45");
    let size = json!({ "width": 1120, "height": 860, "deviceScaleFactor": 1, "mobile": false });
    page.call("Emulation.setDeviceMetricsOverride", &size);
    let picture = page.call("Page.captureScreenshot", &json!({ "format": "png" }));
    let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
    std::fs::write(directory.join("dashboard.png"), bytes).unwrap();
}
