//! `millrace light follow`.

use std::time::Duration;

use millrace_follower::{Event, Pace, Watch};
use millrace_types::Height;
use serde_json::{Value, json};

use super::session::{LightArgs, Session};
use crate::failure::{Failure, printable};
use crate::output::{self, outln};

/// Heights between two times that the checkpoint is written.
const HEIGHTS_BETWEEN_CHECKPOINTS: Height = 64;

/// Whom to follow, and for how long.
#[derive(clap::Args, Debug)]
pub struct FollowArgs {
    /// Trust and nodes.
    #[command(flatten)]
    light: LightArgs,
    /// Ends when this height is final.
    #[arg(long, value_name = "HEIGHT")]
    until: Option<Height>,
    /// Asks so often while no node tells by itself.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    poll_ms: u64,
    /// Asks all nodes when the one that tells has said nothing for so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    silence_s: u64,
}

impl FollowArgs {
    /// Follows until it is interrupted, the height is reached, or certified blocks contradict each other.
    ///
    /// # Errors
    /// When the chain is not found, or contradicts itself.
    pub async fn run(self) -> Result<(), Failure> {
        let pace = Pace {
            poll: Duration::from_millis(self.poll_ms),
            silence: Duration::from_secs(self.silence_s),
            subscribe: true,
        };
        let Session {
            args,
            follower,
            began,
        } = Session::start(self.light).await?;
        let mut watch = Watch::new(follower, pace, args.deadline());
        let mut kept = began;
        // Listened for without a break: a signal that nobody listens for is lost.
        let mut interrupted = std::pin::pin!(interrupted());
        let ended = loop {
            let event = tokio::select! {
                event = watch.next() => event,
                () = &mut interrupted => break Ok(()),
            };
            let event = match event {
                Ok(event) => event,
                Err(error) => break Err(error),
            };
            outln!("{}", line(&event, args.json));
            if output::is_lost() {
                // Nobody reads any more; what was verified is kept all the same.
                super::session::keep(&args, watch.follower())?;
                return output::finish();
            }
            if let Event::Heights { finalized_height, .. } = event {
                if finalized_height >= kept.saturating_add(HEIGHTS_BETWEEN_CHECKPOINTS) {
                    super::session::keep(&args, watch.follower())?;
                    kept = finalized_height;
                }
                if self.until.is_some_and(|until| finalized_height >= until) {
                    break Ok(());
                }
            }
        };
        let mut session = Session {
            args,
            follower: watch.into_follower(),
            began,
        };
        session.end(ended)
    }
}

/// Ends with Ctrl-C or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

fn line(event: &Event, as_json: bool) -> String {
    if as_json {
        object(event).to_string()
    } else {
        printable(&words(event))
    }
}

fn object(event: &Event) -> Value {
    match event {
        Event::Heights {
            finalized_height,
            finalized_hash,
            executed_height,
            url,
        } => json!({
            "event": "heights",
            "finalized_height": finalized_height,
            "finalized_hash": finalized_hash,
            "executed_height": executed_height,
            "rpc": url,
        }),
        Event::Left(left) => json!({
            "event": "left",
            "rpc": left.url,
            "reason": left.fault.to_string(),
        }),
        Event::Leads { url } => json!({ "event": "leads", "rpc": url }),
        Event::Waiting { reason } => json!({ "event": "waiting", "reason": reason }),
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::Heights {
            finalized_height,
            finalized_hash,
            executed_height,
            ..
        } => format!("finalized {finalized_height} ({finalized_hash})  executed {executed_height}"),
        Event::Left(left) => format!("left {}: {}", left.url, left.fault),
        Event::Leads { url } => format!("{url} leads"),
        Event::Waiting { reason } => format!("waiting: {reason}"),
    }
}
