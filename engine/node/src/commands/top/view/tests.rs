use super::*;
use crate::commands::top::picture;

/// The models of the golden samples, as every view gets them.
fn golden(at: usize) -> Model {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../../../watch/golden.json")).unwrap();
    let mut model = Model::default();
    for sample in &golden["samples"].as_array().unwrap()[..=at] {
        model.take(&Sample {
            at_ms: sample["at_ms"].as_u64().unwrap(),
            status: serde_json::from_value(sample["status"].clone()).unwrap(),
            metrics: crate::watch::exposition::Exposition::parse(sample["metrics"].as_str().unwrap()),
            max_receipt_lag: sample["max_receipt_lag"].as_u64(),
        });
    }
    model
}

fn drawn(model: &Model, columns: u16, rows: u16) -> String {
    let view = View {
        url: "http://127.0.0.1:4860",
        is_paused: false,
        has_keys: true,
    };
    picture::text(&buffer(&view, model, columns, rows).unwrap())
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
}

#[test]
fn a_frame_shows_every_part_of_the_model() {
    check(
        &drawn(&golden(1), 100, 30),
        &[
            "http://127.0.0.1:4860  connected  solo/1  chain 7",
            " ▶ finalized",
            "20  1 behind",
            "4.9 blocks/s",
            "3 of at most 4 blocks, largest 4",
            "1 blocks, room for 15, oldest 30 ms, largest 2",
            "679.6 transactions/s",
            " execute 20 ms 10%  root 4.0 ms 2%  persist – 0%  keep 1.5 s 100% ",
            " open  shrink  delay  empty ",
            "6 transactions",
            "plugin solo/1 0.1.0",
            "healthy",
            "states ?, 8.2 kB",
            "reorgs 1, blocks ?",
            "nothing to look at",
            "q quit",
        ],
    );
}

/// Alerts are worth more than times where there is no room for both.
#[test]
fn times_of_stages_are_whole_or_not_drawn() {
    let mut model = golden(1);
    for timing in &mut model.timings {
        (timing.mean_ms, timing.busy) = (Some(0.567), Some(0.994));
    }
    let times = " execute 0.57 ms 99%  root 0.57 ms 99%  persist 0.57 ms 99%  keep 0.57 ms 99% ";
    check(&drawn(&model, 80, 24), &[times]);
    let mut model = golden(2);
    model.lose("gone".to_owned());
    let text = drawn(&model, 80, 24);
    assert!(
        !text.contains("stages of a block") && text.contains("q quit"),
        "{text}"
    );
    check(&drawn(&Model::default(), 80, 24), &["stages of a block"]);
}

#[test]
fn pressure_and_lag_are_said_below() {
    check(
        &drawn(&golden(2), 100, 30),
        &[
            "warning settlement lag is at its limit: execution does not keep up with consensus",
            "warning pressure: blocks are held back, rung shrink",
            "5 behind",
        ],
    );
}

#[test]
fn a_curve_ends_at_the_right_with_the_newest() {
    let mut model = golden(0);
    for point in 0..400 {
        model.history.push_back(Point {
            lag: u64::from(point > 390) * 4,
            ..Point::default()
        });
    }
    let text = drawn(&model, 100, 30);
    let lag = text.lines().find(|line| line.contains('█')).unwrap();
    let left = lag.split('│').nth(1).unwrap();
    assert!(left.starts_with("   ") && left.ends_with("█████████"), "{lag:?}");
}

#[test]
fn a_lost_node_is_seen_at_once_and_what_was_known_stays() {
    let mut model = golden(1);
    model.lose("connection refused".to_owned());
    check(
        &drawn(&model, 100, 30),
        &[
            "no answer  solo/1",
            "failure no answer from the node: connection refused",
            "20  1 behind",
        ],
    );
    let mut nothing = Model::default();
    check(&drawn(&nothing, 100, 30), &["connecting"]);
    nothing.lose("x".to_owned());
    check(&drawn(&nothing, 100, 30), &["no answer from the node: x"]);
}

/// A node's words are drawn on somebody's terminal.
#[test]
fn what_a_node_says_cannot_steer_the_terminal() {
    let mut model = golden(1);
    model.plugin.state = "\x1b[2J\x07evil\r\n".to_owned();
    let text = drawn(&model, 100, 30);
    assert!(
        text.contains("evil") && !text.contains(['\x1b', '\x07', '\r']),
        "{text:?}"
    );
}

#[test]
fn a_node_that_says_enormous_numbers_is_drawn() {
    let mut model = golden(1);
    for point in &mut model.history {
        (point.lag, point.queue, point.transactions_per_second) = (u64::MAX, u64::MAX, f64::MAX);
    }
    (model.lag.limit, model.lag.blocks) = (Some(u64::MAX), u64::MAX);
    (model.queue.room, model.queue.blocks) = (u64::MAX, u64::MAX);
    check(
        &drawn(&model, 100, 30),
        &["18,446,744,073,709,551,615 of at most"],
    );
}

#[test]
fn every_size_of_a_terminal_is_drawn() {
    let model = golden(2);
    for (columns, rows) in [(1, 1), (10, 5), (40, 12), (60, 20), (80, 24), (300, 120)] {
        let text = drawn(&model, columns, rows);
        assert_eq!(text.lines().count(), usize::from(rows), "{columns} x {rows}");
    }
}

#[test]
fn a_picture_has_the_same_characters_and_no_markup_of_the_nodes() {
    let mut model = golden(1);
    model.plugin.state = "<script>".to_owned();
    let view = View {
        url: "u",
        is_paused: false,
        has_keys: false,
    };
    let svg = picture::svg(&buffer(&view, &model, 100, 30).unwrap());
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("finalized") && svg.contains("&lt;script&gt;") && !svg.contains("<script>"));
}

/// The reason is what an operator needs, and it is at the end.
#[test]
fn a_long_alert_is_read_to_its_end() {
    let mut model = golden(2);
    let why = "writing the log of states: /var/lib/millrace/state/log-0000000001: No space left on device; make room, \
               and start the node again";
    model.lose(why.to_owned());
    for (columns, rows) in [(80, 24), (100, 30)] {
        let text = drawn(&model, columns, rows);
        let words: Vec<&str> = text.split_whitespace().collect();
        let words = words.join(" ");
        check(
            &words,
            &[
                why,
                "keep up with consensus",
                "q quit",
                "plugin solo/1",
                "transactions/s",
            ],
        );
    }
}

#[test]
fn rows_of_wrapped_lines_are_counted() {
    for (text, columns, rows) in [
        ("", 10, 1),
        ("ten chars.", 10, 1),
        ("ten chars. x", 10, 2),
        ("a bcdefghijklmno", 10, 3),
        ("abcdefghijklmnopqrstu v", 10, 3),
    ] {
        assert_eq!(rows_of(&Line::from(text), columns), rows, "{text}");
    }
}

#[test]
fn numbers_are_short() {
    assert_eq!(grouped(0), "0");
    assert_eq!(grouped(999), "999");
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert_eq!(short(5.0), "5");
    assert_eq!(short(0.5), "0.5");
    assert_eq!(bytes(5.0), "5 B");
    assert_eq!(bytes(5_100.0), "5.1 kB");
    assert_eq!(short(21_000.0), "21.0 k");
    assert_eq!(rate(None), "–");
    for (value, shown) in [
        (1_234.0, "1.2 s"),
        (999.4, "999 ms"),
        (5.04, "5.0 ms"),
        (0.004, "0.00 ms"),
    ] {
        assert_eq!(milliseconds(Some(value)), shown);
    }
}
