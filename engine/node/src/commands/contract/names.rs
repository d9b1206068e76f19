//! What an interface makes of outputs and logs: values and events by name.

use std::path::{Path, PathBuf};

use millrace_rpc::shapes::LogView;
use serde_json::{Map, Value, json};

use super::interface::{Function, Interface, InterfaceError};
use super::values::shown;

/// The interface of the contract that is called, if it is known, and which function is.
#[derive(Clone, Debug, Default)]
pub struct Names {
    interface: Option<Interface>,
    function: Option<Function>,
}

impl Names {
    /// Of a call of `function`.
    pub fn of(interface: Option<Interface>, function: Option<Function>) -> Self {
        Self { interface, function }
    }

    /// The interface in `path`, if one is given.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: Option<&Path>) -> Result<Option<Interface>, InterfaceError> {
        path.map(Interface::read).transpose()
    }

    /// The interface that `contract build` writes beside the file of a program, if it is there.
    pub fn beside(elf: &Path) -> Option<PathBuf> {
        let path = elf.with_extension("json");
        path.is_file().then_some(path)
    }

    /// The output of a success as a value, if there is one and it is known which.
    pub fn output(&self, output: &[u8]) -> Option<Value> {
        self.function.as_ref()?.output(output).ok().flatten()
    }

    /// The name of the error that a revert stands for, if it is known.
    pub fn error(&self, output: &[u8]) -> Option<&str> {
        self.interface.as_ref()?.error_name(output)
    }

    /// A log as the event that it is, on one line.
    pub fn event(&self, log: &LogView) -> Option<String> {
        let (name, values) = self.named(log)?;
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| format!("{name}: {}", shown(value)))
            .collect();
        Some(format!("{name}({})", values.join(", ")))
    }

    /// Everything that an interface adds to a result, if there is one.
    pub fn as_json(&self, is_success: bool, output: &[u8], logs: &[LogView]) -> Option<Value> {
        self.interface.as_ref()?;
        let events: Vec<_> = logs
            .iter()
            .map(|log| {
                self.named(log).map(|(name, values)| {
                    let values: Map<_, _> = values
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect();
                    json!({ "name": name, "values": values })
                })
            })
            .collect();
        Some(json!({
            "output": if is_success { self.output(output) } else { None },
            "error": if is_success { None } else { self.error(output) },
            "events": events,
        }))
    }

    fn named(&self, log: &LogView) -> Option<(&str, Vec<(&str, Value)>)> {
        let topics: Vec<_> = log.topics.iter().map(|topic| topic.0).collect();
        self.interface.as_ref()?.event(&topics, &log.data.0)
    }
}
