//! `millrace contract`: deploy, call and read contracts on a running chain.

use std::path::PathBuf;

use millrace_rpc::shapes::CallRequest;
use millrace_rpc::{BlockReference, Bytes, MillraceClient as _, Units};
use millrace_types::{Address, Amount, Gas, Payload, hex as hex_text};

use super::tx::{NodeArgs, SendArgs, send_and_show, show_output};
use crate::client::Client;
use crate::commands::{amount, print_json, run_async};
use crate::failure::Failure;

/// Bytes of input on the command line.
#[derive(Clone, Debug, Default)]
pub struct Input(pub Vec<u8>);

impl std::str::FromStr for Input {
    type Err = hex_text::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex_text::parse_bytes(text, 1 << 20).map(Self)
    }
}

/// Deploys, calls and reads contracts.
#[derive(clap::Subcommand, Debug)]
pub enum ContractCommand {
    /// Deploys an ELF file and runs its initialiser.
    Deploy {
        /// The program.
        elf: PathBuf,
        /// Input of the initialiser, hex.
        #[arg(long, default_value = "0x")]
        input: Input,
        /// Units that it gets.
        #[arg(long, default_value_t = 0, value_parser = amount)]
        value: Amount,
        /// Signing and waiting.
        #[command(flatten)]
        send: SendArgs,
        /// The node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Sends a transaction that calls a contract.
    Call {
        /// The contract.
        contract: Address,
        /// Input, hex.
        #[arg(long, default_value = "0x")]
        input: Input,
        /// Units that it gets.
        #[arg(long, default_value_t = 0, value_parser = amount)]
        value: Amount,
        /// Signing and waiting.
        #[command(flatten)]
        send: SendArgs,
        /// The node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Runs a contract at a node without a transaction; nothing is kept.
    Read {
        /// The contract.
        contract: Address,
        /// Input, hex.
        #[arg(long, default_value = "0x")]
        input: Input,
        /// The caller that it sees.
        #[arg(long)]
        from: Option<Address>,
        /// The state it runs on: a tag, a height or a block hash.
        #[arg(long, default_value = "executed")]
        block: BlockReference,
        /// The node.
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Gas limits where the node has no estimate: enough for the examples many times over.
const DEPLOY_GAS: Gas = 100_000_000;
const CALL_GAS: Gas = 20_000_000;

impl ContractCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When the node refuses or cannot be reached, or the call does not succeed.
    pub fn run(self) -> Result<(), Failure> {
        run_async(async {
            match self {
                Self::Deploy {
                    elf,
                    input,
                    value,
                    send,
                    node,
                } => {
                    let code = std::fs::read(&elf).map_err(|error| {
                        Failure::new(format!("contract deploy: {}: {error}", elf.display()))
                    })?;
                    send_and_show(
                        &send,
                        &node,
                        DEPLOY_GAS,
                        Payload::Deploy {
                            code,
                            value,
                            input: input.0,
                        },
                    )
                    .await
                }
                Self::Call {
                    contract,
                    input,
                    value,
                    send,
                    node,
                } => {
                    send_and_show(
                        &send,
                        &node,
                        CALL_GAS,
                        Payload::Call {
                            to: contract,
                            value,
                            input: input.0,
                        },
                    )
                    .await
                }
                Self::Read {
                    contract,
                    input,
                    from,
                    block,
                    node,
                } => {
                    let request = CallRequest {
                        to: contract,
                        from,
                        input: Bytes(input.0),
                        value: Some(Units(0)),
                        gas_limit: None,
                    };
                    read(&node, request, block).await
                }
            }
        })
    }
}

async fn read(node: &NodeArgs, request: CallRequest, block: BlockReference) -> Result<(), Failure> {
    let client = Client::new(&node.rpc)?;
    let contract = request.to;
    let result = client
        .http()
        .call(request, Some(block))
        .await
        .map_err(|error| client.failed(error))?;
    if node.json {
        print_json(&serde_json::to_value(&result)?);
    } else {
        println!("output   {}", show_output(&result.output.0));
        println!("gas      {}", result.gas_used);
        println!(
            "state    height {} (root {})",
            result.origin.height, result.origin.state_root
        );
    }
    if result.outcome == "success" {
        return Ok(());
    }
    let why = match (&result.trap, &result.image_error) {
        (Some(trap), _) => format!(
            ": {} at pc {:#x} of contract {}",
            trap.kind, trap.pc, trap.contract
        ),
        (None, Some(fault)) => format!(": {fault}"),
        (None, None) if result.outcome == "no_code" => format!(": there is no contract at {contract}"),
        (None, None) => String::new(),
    };
    Err(Failure::new(format!("the call ended as {}{why}", result.outcome)))
}
