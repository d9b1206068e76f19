//! `millrace node`: a node with a configuration file.

use std::path::PathBuf;

use clap::Args;

use super::dev::interrupted;
use crate::commands::code_cache::CodeCacheArgs;
use crate::commands::profile::ProfileArgs;
use crate::commands::{print_json, run_async};
use crate::failure::Failure;
use crate::node::RunningNode;
use crate::node::settings::{Flags, Settings};
use crate::output::outln;

/// Runs a node until it is interrupted.
#[derive(Args, Debug)]
pub struct NodeCommandArgs {
    /// The configuration file (TOML); `docs/configuration.md` describes it.
    #[arg(long)]
    config: PathBuf,
    /// Checks configuration and chain spec, prints the chain spec's hash, and ends.
    #[arg(long)]
    check: bool,
    /// Prints one JSON object when the node is ready.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    code_cache: CodeCacheArgs,
    #[command(flatten)]
    profile: ProfileArgs,
}

impl NodeCommandArgs {
    /// Runs the node.
    ///
    /// # Errors
    /// When it cannot start or stop.
    pub fn run(self) -> Result<(), Failure> {
        let flags = Flags {
            profile: self.profile.plan(),
            code_cache: self.code_cache.code_cache,
        };
        let settings =
            Settings::read(&self.config, flags).map_err(|error| Failure::new(error.to_string()))?;
        if self.check {
            outln!("configuration is valid; chain spec hash {}", settings.spec.hash());
            return Ok(());
        }
        run_async(async move {
            let node = RunningNode::start(settings).await?;
            let (url, genesis) = (
                format!("http://{}", node.rpc.address()),
                node.engine.genesis().hash,
            );
            if self.json {
                print_json(&serde_json::json!({ "event": "ready", "rpc": url, "genesis_hash": genesis }));
            } else {
                outln!("node: RPC {url}, genesis {genesis}");
            }
            interrupted().await;
            node.stop().await
        })
    }
}
