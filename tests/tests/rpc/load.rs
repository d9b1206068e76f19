//! `millrace bench rpc` in small: it fails by itself when a subscriber misses anything, and its figures fit together. How
//! fast it all is, is no matter here.

use millrace_tests::program;

use crate::process;

#[test]
fn subscribers_and_callers_at_once_are_told_everything_and_a_slow_one_goes_on() {
    let plugin = program::solo_plugin();
    let scratch = tempfile::tempdir().unwrap();
    let figures = process::json(&[
        "bench",
        "rpc",
        "--subscribers",
        "20",
        "--callers",
        "8",
        "--seconds",
        "4",
        "--block-interval-ms",
        "10",
        "--plugin",
        plugin.to_str().unwrap(),
        "--scratch",
        scratch.path().to_str().unwrap(),
        "--json",
    ]);
    let number = |pointer: &str| {
        let figure = figures.pointer(pointer).and_then(serde_json::Value::as_f64);
        figure.unwrap_or_else(|| panic!("{pointer}: {figures}"))
    };
    for phase in ["/quiet", "/busy"] {
        let period = number(&format!("{phase}/period_ms"));
        assert!((10.0..10_000.0).contains(&period), "{phase}: {figures}");
    }
    assert!(number("/period_ratio") > 0.0, "{figures}");
    let blocks = number("/busy/blocks");
    assert!(blocks >= 450.0, "{figures}");
    // A settlement may be of several blocks, and so a quarter of the subscribers may be told less often.
    assert!(number("/notifications_of_least") * 4.0 >= blocks, "{figures}");
    assert!(number("/notifications") >= 15.0 * blocks, "{figures}");
    assert!(number("/calls") >= 8.0, "{figures}");
    assert_eq!(
        (number("/slow/subscriptions"), number("/slow/cut_off")),
        (16.0, 16.0),
        "{figures}"
    );
    assert_eq!(figures["slow"]["reason"], "lagged");
    let gone_on = number("/slow/told") + number("/slow/read_by_height");
    assert!(
        number("/slow/read_by_height") > 0.0 && gone_on >= 450.0,
        "{figures}"
    );
    // What waits for the slow one is bounded, and so is what everybody else costs.
    let grown = number("/node_mib_at_most") - number("/quiet/node_mib");
    assert!(grown < 256.0, "{figures}");
    let left = std::fs::read_dir(scratch.path()).unwrap().count();
    assert_eq!(left, 0, "the chain is removed");
}
