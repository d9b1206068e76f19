//! What every command that follows a chain shares.

use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use millrace_follower::{FollowError, Follower, Options, Trust, files};
use millrace_light_client::Verifiers;
use millrace_types::{Hash, Height};
use serde_json::{Value, json};

use crate::failure::{Failure, printable};

/// What a light client trusts, and whom it asks.
#[derive(clap::Args, Debug, Clone)]
pub struct LightArgs {
    /// Hash of the genesis header: all that is trusted. `millrace dev` and `millrace node` print it.
    #[arg(long, env = "MILLRACE_GENESIS")]
    pub genesis: Hash,
    /// URL of a node's RPC. Given several times, or joined by commas: all are asked and held against each other.
    #[arg(
        long,
        env = "MILLRACE_RPC",
        default_value = "http://127.0.0.1:4860",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub rpc: Vec<String>,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Goes on from this file, if there is one, and writes to it how far it came.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Begins at this block, which you trust for a reason of your own, instead of genesis.
    #[arg(long, value_name = "HEIGHT:HASH")]
    pub trust: Option<TrustedBlock>,
    /// Where evidence goes if certified blocks contradict each other.
    #[arg(long, value_name = "FILE", default_value = "millrace-evidence.json")]
    pub evidence: PathBuf,
    /// How long an answer may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub deadline_s: u64,
}

/// A block, as a person names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedBlock {
    height: Height,
    hash: Hash,
}

impl FromStr for TrustedBlock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "HEIGHT:HASH, like 1200:0x and 64 digits of hex".to_owned();
        let (height, hash) = text.split_once(':').ok_or_else(form)?;
        Ok(Self {
            height: height.parse().map_err(|_| form())?,
            hash: hash.parse().map_err(|_| form())?,
        })
    }
}

impl LightArgs {
    /// The deadline of a request.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }
}

/// A follower that runs, and what it was started with.
pub struct Session {
    pub args: LightArgs,
    pub follower: Follower,
    /// The height where it began.
    pub began: Height,
}

impl Session {
    /// Starts from the checkpoint if there is one, else from the block that is trusted, else from genesis.
    ///
    /// # Errors
    /// When the checkpoint is refused, or no node has the chain.
    pub async fn start(args: LightArgs) -> Result<Self, Failure> {
        let trust = args.trust()?;
        if let Some(path) = &args.checkpoint {
            files::check_directory(path).map_err(|error| unkept(&error))?;
        }
        let options = Options {
            deadline: args.deadline(),
            ..Options::default()
        };
        let verifiers = Verifiers::built_in();
        let started = Follower::start(&args.rpc, args.genesis, trust, &verifiers, &options).await;
        let follower = started.map_err(|error| match (&error, &args.checkpoint) {
            (FollowError::Checkpoint(_), Some(path)) => {
                Failure::new(format!("light: {}: {error}", path.display()))
            }
            _ => Failure::new(format!("light: {error}")),
        })?;
        let began = follower.light().finalized_height();
        Ok(Self {
            args,
            follower,
            began,
        })
    }

    /// What comes out of the work, after what is to be said and kept is said and kept, however it went.
    ///
    /// # Errors
    /// The work's own, or that of keeping the checkpoint.
    pub fn end<T>(&mut self, result: Result<T, FollowError>) -> Result<T, Failure> {
        for left in self.follower.take_news() {
            // Where stderr is closed there is no one to tell.
            let _ = writeln!(
                std::io::stderr(),
                "millrace: light: left {}: {}",
                printable(&left.url),
                printable(&left.fault.to_string())
            );
        }
        // What was verified stays so, whatever came of the question. Where certifiers contradict themselves nothing is added.
        let kept = match &result {
            Err(FollowError::Contradiction { .. }) => Ok(()),
            _ => keep(&self.args, &self.follower),
        };
        let value = result.map_err(|error| self.failed(&error))?;
        kept.map(|()| value)
    }

    /// Says why, and keeps the evidence if there is any.
    pub fn failed(&self, error: &FollowError) -> Failure {
        let FollowError::Contradiction {
            evidence, receipts, ..
        } = error
        else {
            return Failure::new(format!("light: {error}"));
        };
        let mut pieces = vec![(self.args.evidence.clone(), evidence)];
        if let Some(receipts) = receipts {
            pieces.push((self.args.evidence.with_extension("receipts.json"), receipts));
        }
        let spec = self.follower.light().spec();
        let mut message = format!("light: {error}");
        for (path, evidence) in pieces {
            message += &match files::write_evidence(&path, spec, evidence) {
                Ok(()) => format!("; evidence is in {}", path.display()),
                Err(unwritten) => format!("; the evidence could not be kept: {unwritten}"),
            };
        }
        Failure::new(message)
    }

    /// How the nodes stand, for programs.
    pub fn nodes(&self) -> Vec<Value> {
        let standings = self.follower.standings().into_iter();
        standings
            .map(|node| {
                json!({
                    "rpc": node.url,
                    "leads": node.leads,
                    "newest": node.newest,
                    "fault": node.fault.map(|fault| fault.to_string()),
                })
            })
            .collect()
    }
}

impl LightArgs {
    fn trust(&self) -> Result<Trust, Failure> {
        let kept = match &self.checkpoint {
            Some(path) => files::read_checkpoint(path).map_err(|error| unkept(&error))?,
            None => None,
        };
        Ok(match (kept, self.trust) {
            (Some(bytes), _) => Trust::Checkpoint(bytes),
            (None, Some(TrustedBlock { height, hash })) => Trust::Block { height, hash },
            (None, None) => Trust::Genesis,
        })
    }
}

/// Writes the checkpoint, if one is kept and there is something to keep.
///
/// # Errors
/// If the disk fails, or the file has something that must not be lost.
pub fn keep(args: &LightArgs, follower: &Follower) -> Result<(), Failure> {
    let Some(path) = &args.checkpoint else {
        return Ok(());
    };
    files::keep_checkpoint(path, follower.light(), &Verifiers::built_in()).map_err(|error| unkept(&error))
}

fn unkept(error: &files::FileError) -> Failure {
    Failure::new(format!("light: the checkpoint: {error}"))
}
