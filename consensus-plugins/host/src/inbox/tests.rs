//! What waits is bounded, in order, complete, and delivered once.

use core::time::Duration;

use super::{Delivery, Inbox, MAX_PROPOSALS, MAX_REQUESTS, Next, RequestKind};
use crate::engine::{BlockBytes, Verdict};
use millrace_plugin_abi::status::{INVALID, OK, STOPPED, TRANSIENT};

fn block(height: u64) -> BlockBytes {
    BlockBytes {
        bytes: Vec::new(),
        hash: [0; 32],
        parent_hash: [0; 32],
        height,
    }
}

/// What comes next, in words.
fn next(inbox: &Inbox) -> String {
    match inbox.next() {
        Next::Stop => "stop".into(),
        Next::Closed => "closed".into(),
        Next::Deliver(delivery) => match delivery {
            Delivery::Built(token, answer) => format!("built {token} {}", answer.is_some()),
            Delivery::Verdict(token, answer) => format!("verdict {token} {}", answer.is_some()),
            Delivery::Head(token, answer) => format!("head {token} {}", answer.is_some()),
            Delivery::Value(token, answer) => format!("value {token} {}", answer.is_some()),
            Delivery::Stored(token, answer) => format!("stored {token} {}", answer.is_some()),
            Delivery::Timer(token, answer) => format!("timer {token} {}", answer.is_some()),
            Delivery::Proposal(block) => format!("proposal {}", block.height),
            Delivery::Credit(blocks, gas) => format!("credit {blocks} {gas}"),
            Delivery::Settled(_, height) => format!("settled {height}"),
            Delivery::Finalized(_, height) => format!("finalized {height}"),
            Delivery::HeadMoved(_, height) => format!("head moved {height}"),
            Delivery::Work => "work".into(),
        },
    }
}

#[test]
fn news_is_merged_at_the_place_of_the_first() {
    let inbox = Inbox::default();
    inbox.credit(1, 10);
    inbox.work();
    inbox.settled([0; 32], 4);
    inbox.credit(2, 20);
    inbox.settled([0; 32], 5);
    inbox.work();
    inbox.head_moved([0; 32], 6);
    inbox.finalized([0; 32], 7);
    let seen: Vec<_> = (0..5).map(|_| next(&inbox)).collect();
    assert_eq!(
        seen,
        ["credit 2 20", "work", "settled 5", "head moved 6", "finalized 7"]
    );
    inbox.credit(3, 30);
    assert_eq!(next(&inbox), "credit 3 30", "what was taken is news again");
}

#[test]
fn word_of_work_comes_behind_the_answer_to_a_build() {
    let inbox = Inbox::default();
    assert_eq!(inbox.begin(1, RequestKind::Build), OK);
    inbox.work();
    inbox.credit(1, 10);
    inbox.complete(1, Delivery::Built(1, None));
    // Merged with the first, which must not stay where it was.
    inbox.work();
    let seen: Vec<_> = (0..3).map(|_| next(&inbox)).collect();
    assert_eq!(seen, ["credit 1 10", "built 1 false", "work"]);
}

#[test]
fn a_token_is_in_use_until_its_end_is_delivered() {
    let inbox = Inbox::default();
    assert_eq!(inbox.begin(0, RequestKind::Get), INVALID);
    assert_eq!(inbox.begin(9, RequestKind::Validate), OK);
    assert_eq!(inbox.begin(9, RequestKind::Get), INVALID);
    inbox.complete(9, Delivery::Verdict(9, Some(Verdict::UnknownParent)));
    inbox.complete(9, Delivery::Verdict(9, None));
    assert_eq!(
        inbox.begin(9, RequestKind::Get),
        INVALID,
        "answered, but not delivered"
    );
    assert_eq!(next(&inbox), "verdict 9 true", "the first answer counts");
    assert_eq!(inbox.begin(9, RequestKind::Get), OK);
    inbox.work();
    assert_eq!(next(&inbox), "work", "nothing was answered twice");
}

#[test]
fn requests_and_proposals_are_bounded() {
    let inbox = Inbox::default();
    for token in 1..=MAX_REQUESTS as u64 {
        assert_eq!(inbox.begin(token, RequestKind::Build), OK);
    }
    assert_eq!(inbox.begin(5_000, RequestKind::Build), TRANSIENT);
    assert_eq!(inbox.timer_set(5_000, Duration::ZERO), TRANSIENT);
    inbox.complete(1, Delivery::Built(1, None));
    assert_eq!(
        inbox.begin(5_000, RequestKind::Build),
        TRANSIENT,
        "not delivered yet"
    );
    assert_eq!(next(&inbox), "built 1 false");
    assert_eq!(inbox.begin(5_000, RequestKind::Build), OK);
    for height in 0..MAX_PROPOSALS as u64 {
        assert!(inbox.proposal(block(height)).is_ok());
    }
    assert_eq!(inbox.proposal(block(99)).unwrap_err().0.height, 99);
    assert_eq!(next(&inbox), "proposal 0");
    assert!(inbox.proposal(block(100)).is_ok());
}

#[test]
fn timers_come_when_due_in_their_order_and_cancelled_ones_end_aborted() {
    let inbox = Inbox::default();
    assert_eq!(inbox.timer_set(1, Duration::from_millis(30)), OK);
    assert_eq!(inbox.timer_set(2, Duration::from_millis(10)), OK);
    assert_eq!(inbox.timer_set(3, Duration::from_secs(3600)), OK);
    assert_eq!(inbox.timer_set(3, Duration::ZERO), INVALID);
    assert_eq!(inbox.timer_cancel(3), OK);
    assert_eq!(inbox.timer_cancel(3), INVALID);
    assert_eq!(next(&inbox), "timer 3 false");
    assert_eq!(next(&inbox), "timer 2 true");
    assert_eq!(next(&inbox), "timer 1 true");
    assert_eq!(inbox.timer_cancel(1), INVALID, "it was due");
}

#[test]
fn stop_delivers_what_is_owed_and_nothing_else() {
    let inbox = Inbox::default();
    inbox.work();
    assert!(inbox.proposal(block(1)).is_ok());
    for (token, kind) in [
        (1, RequestKind::Build),
        (2, RequestKind::Validate),
        (3, RequestKind::SetHead),
        (4, RequestKind::Get),
        (5, RequestKind::Put),
    ] {
        assert_eq!(inbox.begin(token, kind), OK);
    }
    assert_eq!(inbox.timer_set(6, Duration::ZERO), OK);
    inbox.complete(5, Delivery::Stored(5, Some(Ok(()))));
    inbox.stop();
    inbox.complete(1, Delivery::Built(1, Some(crate::BuildAnswer::UnknownParent)));
    inbox.credit(1, 1);
    assert!(inbox.proposal(block(2)).is_ok());
    assert_eq!(
        (inbox.begin(7, RequestKind::Get), inbox.timer_cancel(6)),
        (STOPPED, STOPPED)
    );
    let seen: Vec<_> = (0..7).map(|_| next(&inbox)).collect();
    assert_eq!(
        seen,
        [
            "stored 5 true",
            "built 1 false",
            "verdict 2 false",
            "head 3 false",
            "value 4 false",
            "timer 6 false",
            "stop"
        ]
    );
}

#[test]
fn after_a_failure_nothing_is_delivered() {
    let inbox = Inbox::default();
    inbox.work();
    assert_eq!(inbox.begin(1, RequestKind::Get), OK);
    inbox.close();
    inbox.complete(1, Delivery::Value(1, None));
    inbox.credit(1, 1);
    assert_eq!(next(&inbox), "closed");
    assert_eq!(inbox.begin(2, RequestKind::Get), STOPPED);
}

#[test]
fn next_sleeps_until_something_comes() {
    let inbox = Inbox::default();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| next(&inbox));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        inbox.work();
        assert_eq!(waiting.join().unwrap(), "work");
    });
}
