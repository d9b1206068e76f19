//! `millrace bench rpc`: what many subscribers and callers at once cost a node, and whether it keeps its promises to them.
//!
//! The node is another process of this program ([`node`]), with a chain that makes blocks all the time; so its memory is its
//! own. First it runs alone, then with [`followers`], [`callers`] and one subscriber that does not read ([`slow`]). What each
//! is told is checked to the last number; the figures are beside it.

mod callers;
mod followers;
mod node;
mod slow;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use millrace_rpc::shapes::Status;
use millrace_rpc::{BlockReference, MillraceClient as _};
use serde_json::{Value, json};

use self::callers::Callers;
use self::followers::Followers;
use self::node::Node;
use self::slow::Slow;
use super::pipeline::report::{Report, Table, progress};
use crate::client::Client;
use crate::commands::dev::{ConsensusName, plugin_beside_this_program};
use crate::commands::{ended, print_json, run_async};
use crate::failure::Failure;
use crate::load::{Load, LoadKind, LoadPlan};
use crate::output::out;

/// Load a node's RPC: many subscribers and callers at once, and a subscriber that does not read.
///
/// A node of its own makes blocks all the time, first alone and then under load. Every subscriber is told every block once, in
/// order and numbered, or this command fails; the one that does not read is cut off, and reads what it missed by height.
#[derive(Debug, clap::Args)]
pub struct RpcArgs {
    /// WebSockets, each with one subscription.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    subscribers: u32,
    /// Connections that call one method after the other.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    callers: u32,
    /// Seconds of the load; it goes on until the slow subscriber must have been cut off.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Milliseconds that each caller waits before its next call.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pause_ms: u64,
    /// Milliseconds between blocks.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(5..=10_000))]
    block_interval_ms: u64,
    /// Transactions a second, all the time.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// The plugin `solo` [default: the one beside the program].
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Where a directory is made for the chain, and removed afterwards [default: the system's for such].
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Beside subscribers and callers: the load's own, and the slow one's.
const MORE_CONNECTIONS: u32 = 64;
/// How long a node that is quiet is watched, as a part of the load's seconds.
const QUIET_PART: u64 = 4;

/// What blocks and memory were like for a while.
#[derive(Clone, Copy, Debug)]
struct Phase {
    blocks: u64,
    /// Mean of the distance between blocks, by their own timestamps.
    period_ms: f64,
    /// The longest of them.
    longest_ms: u64,
    /// The node's memory at its end.
    mib: f64,
}

/// What came of it all.
struct Outcome {
    quiet: Phase,
    busy: Phase,
    mib_at_begin: f64,
    mib_at_most: f64,
    followers: followers::Told,
    callers: callers::Called,
    slow: slow::Outcome,
}

impl RpcArgs {
    /// Runs the command; gives the process's exit status.
    pub fn run(&self) -> ExitCode {
        ended(self.measured())
    }

    fn measured(&self) -> Result<(), Failure> {
        let connections = self.subscribers + self.callers + MORE_CONNECTIONS;
        node::allow_files(u64::from(connections))?;
        let plugin = match &self.plugin {
            Some(path) => path.clone(),
            None => plugin_beside_this_program(ConsensusName::Solo)?,
        };
        let scratch = self.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let directory = tempfile::tempdir_in(&scratch)
            .map_err(|error| Failure::new(format!("{}: {error}", scratch.display())))?;
        let node = Node::start(&node::Plan {
            directory: directory.path(),
            plugin: &plugin,
            connections,
            block_interval_ms: self.block_interval_ms,
        })?;
        let outcome = run_async(self.measure(&node))?;
        if self.json {
            print_json(&self.json(&outcome));
        } else {
            out!("{}", self.report(&outcome).text());
        }
        Ok(())
    }

    async fn measure(&self, node: &Node) -> Result<Outcome, Failure> {
        let client = Client::new(&node.url)?;
        let plan = LoadPlan {
            kind: LoadKind::Transfer,
            rate: Some(self.rate),
            count: None,
            seed: 0,
        };
        let load = Load::prepare(plan, client.clone(), node.accounts.clone()).await?;
        let mut load = tokio::spawn(load.run());
        let work = self.under_load(node, &client);
        let outcome = tokio::select! {
            outcome = work => outcome,
            ended = &mut load => match ended {
                Ok(Err(failure)) => Err(failure),
                other => Err(Failure::new(format!("the load ended by itself: {other:?}"))),
            },
        };
        load.abort();
        outcome
    }

    async fn under_load(&self, node: &Node, client: &Client) -> Result<Outcome, Failure> {
        let seconds = Duration::from_secs(self.seconds);
        progress("the node alone");
        let quiet = phase(node, client, seconds / QUIET_PART as u32, 10).await?;
        progress(&format!(
            "{} subscribers and {} callers",
            self.subscribers, self.callers
        ));
        let followers = Followers::start(&node.url, self.subscribers).await?;
        let slow = Slow::start(&node.url).await?;
        let callers = Callers::start(&node.url, self.callers, self.pause_ms, &node.accounts)?;
        let mib_at_begin = node.resident_mib()?;
        let busy = phase(node, client, seconds, slow::BLOCKS).await?;
        let callers = callers.stop().await?;
        // Everybody is told of what there is by now.
        let heights = client.status().await?.heights;
        let followers = followers.wait(&heights).await?;
        let slow = slow.resume(client).await?;
        Ok(Outcome {
            quiet,
            busy,
            mib_at_begin,
            mib_at_most: node.most_mib()?,
            followers,
            callers,
            slow,
        })
    }

    fn json(&self, outcome: &Outcome) -> Value {
        let phase = |phase: &Phase| {
            json!({
                "blocks": phase.blocks,
                "period_ms": rounded(phase.period_ms),
                "longest_ms": phase.longest_ms,
                "node_mib": rounded(phase.mib),
            })
        };
        json!({
            "subscribers": self.subscribers,
            "callers": self.callers,
            "quiet": phase(&outcome.quiet),
            "busy": phase(&outcome.busy),
            "period_ratio": rounded(outcome.ratio()),
            "node_mib_at_begin": rounded(outcome.mib_at_begin),
            "node_mib_at_most": rounded(outcome.mib_at_most),
            "notifications": outcome.followers.notifications,
            "notifications_of_least": outcome.followers.least,
            "calls": outcome.callers.calls,
            "calls_per_second": rounded(outcome.callers.per_second),
            "call_ms_median": rounded(outcome.callers.median_ms),
            "call_ms_99": rounded(outcome.callers.ninety_nine_ms),
            "slow": {
                "subscriptions": outcome.slow.subscriptions,
                "cut_off": outcome.slow.cut_off,
                "reason": outcome.slow.reason,
                "told": outcome.slow.told,
                "read_by_height": outcome.slow.read_by_height,
            },
        })
    }

    fn report(&self, outcome: &Outcome) -> Report {
        let mut blocks = Table::new(&["", "blocks", "ms between", "longest", "node MiB"]);
        for (name, phase) in [("alone", &outcome.quiet), ("under load", &outcome.busy)] {
            blocks.row(vec![
                name.to_owned(),
                phase.blocks.to_string(),
                format!("{:.1}", phase.period_ms),
                phase.longest_ms.to_string(),
                format!("{:.0}", phase.mib),
            ]);
        }
        let Outcome {
            followers,
            callers,
            slow,
            ..
        } = outcome;
        let notes = vec![
            format!(
                "{} subscribers, told {} notifications, the least {}: every one numbered and in its turn, none twice.",
                self.subscribers, followers.notifications, followers.least
            ),
            format!(
                "{} callers, {} calls, {:.0} a second; half are answered within {:.1} ms, 99 of 100 within {:.1} ms.",
                self.callers, callers.calls, callers.per_second, callers.median_ms, callers.ninety_nine_ms
            ),
            format!(
                "One connection with {} subscriptions did not read: {} were cut off ({}) after {} notifications, and {} blocks \
                 were read by height instead.",
                slow.subscriptions, slow.cut_off, slow.reason, slow.told, slow.read_by_height
            ),
            format!(
                "The node held {:.0} MiB when everybody was connected, {:.0} MiB at the end, {:.0} MiB at most. Blocks came at {:.2} \
                 times the distance that they have without load.",
                outcome.mib_at_begin,
                outcome.busy.mib,
                outcome.mib_at_most,
                outcome.ratio()
            ),
        ];
        Report {
            title: "load on the RPC",
            notes,
            tables: vec![blocks],
            plots: Vec::new(),
        }
    }
}

impl Outcome {
    fn ratio(&self) -> f64 {
        self.busy.period_ms / self.quiet.period_ms
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

/// Watches the chain for so long, and for so many blocks at least.
async fn phase(node: &Node, client: &Client, duration: Duration, blocks: u64) -> Result<Phase, Failure> {
    // Genesis has a time that nobody lived.
    let first = finalized(&client.status().await?).max(1);
    tokio::time::sleep(duration).await;
    let mut last = finalized(&client.status().await?);
    while last < first + blocks {
        tokio::time::sleep(Duration::from_millis(50)).await;
        last = finalized(&client.status().await?);
    }
    let mib = node.resident_mib()?;
    let mut times = Vec::new();
    for height in first..=last {
        let reference = height.to_string().parse::<BlockReference>().expect("a height");
        let block = client.http().block(Some(reference), None).await;
        let block = block.map_err(|error| client.failed(error))?;
        let block = block.ok_or_else(|| Failure::new(format!("block {height} is gone")))?;
        times.push(block.header.timestamp_ms);
    }
    let span = times.last().unwrap_or(&0) - times.first().unwrap_or(&0);
    Ok(Phase {
        blocks: last - first,
        period_ms: span as f64 / (last - first) as f64,
        longest_ms: times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0),
        mib,
    })
}

fn finalized(status: &Status) -> u64 {
    status.heights.finalized
}
