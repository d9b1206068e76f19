//! `millrace contract deploy`, `call` and `read`: contracts on a running chain.

use std::path::PathBuf;

use millrace_rpc::shapes::{CallRequest, CallResult};
use millrace_rpc::{BlockReference, Bytes, MillraceClient as _, Units};
use millrace_types::{Address, Amount, Gas, Payload, hex as hex_text};

use super::interface::Function;
use super::names::Names;
use super::values::shown;
use crate::client::Client;
use crate::commands::tx::{NodeArgs, SendArgs, send_and_show, show_output};
use crate::commands::{amount, print_json, print_text, program};
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

/// Deploys an ELF file and runs its initialiser.
#[derive(clap::Args, Debug)]
pub struct DeployArgs {
    /// The program.
    elf: PathBuf,
    /// Arguments of the initialiser, as the interface names them.
    #[arg(conflicts_with = "input", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// The contract's interface; by default the `.json` beside the program, if there is one.
    #[arg(long, value_name = "FILE")]
    interface: Option<PathBuf>,
    /// Input of the initialiser, hex, instead of arguments.
    #[arg(long)]
    input: Option<Input>,
    /// Units that it gets.
    #[arg(long, default_value_t = 0, value_parser = amount)]
    value: Amount,
    /// Signing and waiting.
    #[command(flatten)]
    send: SendArgs,
    /// The node.
    #[command(flatten)]
    node: NodeArgs,
}

/// What is called, with what.
#[derive(clap::Args, Debug)]
pub struct CalledArgs {
    /// The contract.
    contract: Address,
    /// The function, as the interface names it.
    #[arg(conflicts_with = "input", requires = "interface")]
    function: Option<String>,
    /// Its arguments.
    #[arg(conflicts_with = "input", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// The contract's interface, a file that `millrace contract build` wrote.
    #[arg(long, value_name = "FILE")]
    interface: Option<PathBuf>,
    /// Input, hex, instead of a function and arguments.
    #[arg(long)]
    input: Option<Input>,
}

/// Sends a transaction that calls a contract.
#[derive(clap::Args, Debug)]
pub struct CallArgs {
    #[command(flatten)]
    called: CalledArgs,
    /// Units that it gets.
    #[arg(long, default_value_t = 0, value_parser = amount)]
    value: Amount,
    /// Signing and waiting.
    #[command(flatten)]
    send: SendArgs,
    /// The node.
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs a contract at a node without a transaction; nothing is kept.
#[derive(clap::Args, Debug)]
pub struct ReadArgs {
    #[command(flatten)]
    called: CalledArgs,
    /// The caller that it sees.
    #[arg(long)]
    from: Option<Address>,
    /// The state it runs on: a tag, a height or a block hash.
    #[arg(long, default_value = "executed")]
    block: BlockReference,
    /// The node.
    #[command(flatten)]
    node: NodeArgs,
}

/// Gas limits where the node has no estimate: enough for the examples many times over.
const DEPLOY_GAS: Gas = 100_000_000;
const CALL_GAS: Gas = 20_000_000;

impl DeployArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the node refuses or cannot be reached, or the initialiser does not succeed.
    pub async fn run(self) -> Result<(), Failure> {
        let failed = |reason: &dyn std::fmt::Display| Failure::new(format!("contract deploy: {reason}"));
        let path = self.interface.or_else(|| Names::beside(&self.elf));
        let interface = Names::read(path.as_deref()).map_err(|error| failed(&error))?;
        let input = match (self.input, &interface) {
            (Some(input), _) => input.0,
            (None, Some(interface)) => interface
                .init_input(&self.arguments)
                .map_err(|error| failed(&error))?,
            (None, None) if self.arguments.is_empty() => Vec::new(),
            (None, None) => {
                return Err(failed(
                    &"arguments need the contract's interface: give --interface FILE, or the encoded input by --input",
                ));
            }
        };
        let code = program::read(&self.elf).map_err(|error| failed(&error))?;
        let payload = Payload::Deploy {
            code,
            value: self.value,
            input,
        };
        send_and_show(
            &self.send,
            &self.node,
            DEPLOY_GAS,
            payload,
            &Names::of(interface, None),
        )
        .await
    }
}

impl CalledArgs {
    /// Contract, input, and the names of what comes back.
    fn resolve(self) -> Result<(Address, Vec<u8>, Names), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        let interface = Names::read(self.interface.as_deref()).map_err(|error| failed(&error))?;
        if let Some(input) = self.input {
            let function = interface.as_ref().and_then(|interface| {
                let name = interface.called(&input.0)?;
                interface.function(name).ok().cloned()
            });
            return Ok((self.contract, input.0, Names::of(interface, function)));
        }
        let Some(name) = self.function else {
            return Ok((self.contract, Vec::new(), Names::of(interface, None)));
        };
        let interface = interface.expect("clap asks for an interface where a function is named");
        let function: Function = interface.function(&name).map_err(|error| failed(&error))?.clone();
        let input = function.input(&self.arguments).map_err(|error| failed(&error))?;
        Ok((self.contract, input, Names::of(Some(interface), Some(function))))
    }
}

impl CallArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the node refuses or cannot be reached, or the call does not succeed.
    pub async fn run(self) -> Result<(), Failure> {
        let (to, input, names) = self.called.resolve()?;
        let payload = Payload::Call {
            to,
            value: self.value,
            input,
        };
        send_and_show(&self.send, &self.node, CALL_GAS, payload, &names).await
    }
}

impl ReadArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the node refuses or cannot be reached, or the call does not succeed.
    pub async fn run(self) -> Result<(), Failure> {
        let (to, input, names) = self.called.resolve()?;
        let request = CallRequest {
            to,
            from: self.from,
            input: Bytes(input),
            value: Some(Units(0)),
            gas_limit: None,
        };
        let client = Client::new(&self.node.rpc)?;
        let result = client
            .http()
            .call(request, Some(self.block))
            .await
            .map_err(|error| client.failed(error))?;
        show_result(&result, &names, self.node.json)?;
        verdict(&result, to, &names)
    }
}

fn show_result(result: &CallResult, names: &Names, as_json: bool) -> Result<(), Failure> {
    let (is_success, output) = (result.outcome == "success", &result.output.0);
    if as_json {
        let mut value = serde_json::to_value(result)?;
        if let (Some(named), Some(fields)) = (
            names.as_json(is_success, output, &result.logs),
            value.as_object_mut(),
        ) {
            fields.insert("named".to_owned(), named);
        }
        print_json(&value);
        return Ok(());
    }
    let output = match names.output(output).filter(|_| is_success) {
        Some(value) => shown(&value),
        None => show_output(output),
    };
    print_text(&format!(
        "output   {output}\ngas      {}\nstate    height {} (root {})\n",
        result.gas_used, result.origin.height, result.origin.state_root
    ))
}

fn verdict(result: &CallResult, contract: Address, names: &Names) -> Result<(), Failure> {
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
        (None, None) => match names.error(&result.output.0) {
            Some(name) => format!(": {name}"),
            None => String::new(),
        },
    };
    Err(Failure::new(format!("the call ended as {}{why}", result.outcome)))
}
