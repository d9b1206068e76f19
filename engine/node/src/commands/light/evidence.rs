//! `millrace light evidence`.

use std::path::PathBuf;

use millrace_follower::files;
use millrace_light_client::{Contradiction, Verifiers};
use millrace_types::Hash;
use serde_json::json;

use crate::commands::print_text;
use crate::failure::Failure;

/// What to do with evidence.
#[derive(clap::Subcommand, Debug)]
pub enum EvidenceCommand {
    /// Verifies evidence from the genesis hash alone, without any node, and shows the contradiction.
    Check {
        /// The file.
        file: PathBuf,
        /// Hash of the genesis header: all that is trusted.
        #[arg(long, env = "MILLRACE_GENESIS")]
        genesis: Hash,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

impl EvidenceCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When the file is no evidence about this chain.
    pub fn run(self) -> Result<(), Failure> {
        let Self::Check { file, genesis, json } = self;
        let checked = files::check_evidence(&file, genesis, &Verifiers::built_in());
        let (_, contradiction) = checked.map_err(|error| Failure::new(format!("light: {error}")))?;
        if json {
            let shown = json!({ "verified": true, "contradiction": files::describe(&contradiction) });
            return print_text(&format!("{shown}\n"));
        }
        let mut text = String::new();
        match contradiction {
            Contradiction::Blocks { height, hashes } => {
                text += &format!("verified: two blocks are certified at height {height}\n");
                hashes.iter().for_each(|hash| text += &format!("  {hash}\n"));
            }
            Contradiction::Receipts { block_hash, receipts } => {
                text += &format!(
                    "verified: certified headers give block {block_hash} at height {} two receipts\n",
                    receipts[0].height
                );
                for receipt in &receipts {
                    text += &format!(
                        "  root {} gas used {}\n",
                        receipt.post_state_root, receipt.gas_used
                    );
                }
            }
        }
        print_text(&text)
    }
}
