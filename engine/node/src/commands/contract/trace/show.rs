//! A trace for people, and as JSON.

use millrace_executor::host::status;
use millrace_rpc::shapes::outcome_word;
use millrace_types::{Address, Hash, Outcome};
use serde_json::{Value, json};

use super::names::{Meanings, bytes, value};
use super::programs::{Local, Locals, source};
use super::recorder::{ContractGas, Ended, Event, Excerpt, Frame, Stack, Step};
use super::{Place, Traced};
use crate::commands::print_json;
use crate::failure::{Failure, printable};
use crate::output::out;

/// Functions of one contract that are listed; the others are summed.
const MOST_FUNCTIONS: usize = 12;

/// A trace with the names of what it met.
pub struct Shown<'t> {
    traced: &'t Traced,
    locals: &'t Locals,
}

impl<'t> Shown<'t> {
    /// `traced`, with the names of `locals`.
    pub fn new(traced: &'t Traced, locals: &'t Locals) -> Self {
        Self { traced, locals }
    }

    /// Prints it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            print_json(&self.as_json());
        } else {
            out!("{}", printable(&self.as_text()));
        }
        Ok(())
    }

    fn local(&self, frame: &Frame) -> Option<&'t Local> {
        self.locals.get(&frame.code_hash)
    }

    fn meanings(&self, frame: &Frame) -> Meanings<'t> {
        Meanings(self.local(frame).and_then(|local| local.interface.as_ref()))
    }

    /// Name and address of a contract.
    fn name(&self, contract: &Address, code_hash: &Hash) -> String {
        match self.locals.get(code_hash) {
            Some(local) => format!("{} {}", on_one_line(&local.name), short(contract)),
            None => contract.to_string(),
        }
    }

    fn contract(&self, frame: &Frame) -> String {
        self.name(&frame.contract, &frame.code_hash)
    }

    fn as_text(&self) -> String {
        let traced = self.traced;
        let mut lines = Vec::new();
        let mut row = |name: &str, text: String| lines.push(format!("{name:<12} {text}"));
        if let Some(place) = &traced.place {
            row("transaction", place.hash.to_string());
            row(
                "block",
                format!(
                    "{} (height {}, index {})",
                    place.block_hash, place.height, place.index
                ),
            );
        }
        row("outcome", self.outcome());
        let charged = traced.place.as_ref().map(|place| place.gas_charged);
        let charged = charged.map_or(String::new(), |charged| format!(", {charged} charged"));
        let before = match traced.place {
            Some(_) => format!("; {} before anything ran", traced.intrinsic),
            None => String::new(),
        };
        row(
            "gas",
            format!(
                "{} used of {}{charged}{before}",
                traced.gas_used, traced.gas_limit
            ),
        );
        if let Some(created) = &traced.created {
            row("contract", created.to_string());
        }
        let Some(root) = &traced.trace.root else {
            return joined(lines);
        };
        lines.push(String::new());
        self.frame_text(root, 0, &mut lines);
        if traced.trace.left_out > 0 {
            lines.push(format!("{} more steps are not shown", traced.trace.left_out));
        }
        self.stacks_text(root, &mut lines);
        self.functions_text(&mut lines);
        joined(lines)
    }

    /// How it ended, in a line.
    fn outcome(&self) -> String {
        let traced = self.traced;
        let word = outcome_word(&traced.outcome);
        let root = traced.trace.root.as_ref();
        let why = match (&traced.why, root.map(|root| &root.ended)) {
            (Some(why), _) => Some(why.clone()),
            (None, Some(Ended::Trapped(kind, pc))) => Some(format!("{kind} (pc {pc:#x})")),
            (None, Some(Ended::Reverted)) => root.map(|root| self.output(root)),
            _ => None,
        };
        match why {
            Some(why) if traced.outcome != Outcome::Success => format!("{word}: {why}"),
            _ => word.to_owned(),
        }
    }

    fn output(&self, frame: &Frame) -> String {
        let is_success = frame.ended == Ended::Returned;
        let named = self
            .meanings(frame)
            .output(is_success, &frame.input, &frame.output);
        named.unwrap_or_else(|| bytes(&frame.output))
    }

    fn frame_text(&self, frame: &Frame, depth: usize, lines: &mut Vec<String>) {
        let indent = "  ".repeat(depth);
        let meanings = self.meanings(frame);
        let called = meanings.call(frame.is_initialiser, &frame.input);
        let called = called.unwrap_or_else(|| {
            let name = if frame.is_initialiser { "init" } else { "call" };
            format!("{name}({})", bytes(&frame.input))
        });
        let value = if frame.value > 0 {
            format!(" with {} units", frame.value)
        } else {
            String::new()
        };
        lines.push(format!(
            "{indent}{}: {called}{value} from {}, {} gas",
            self.contract(frame),
            short(&frame.caller),
            frame.gas
        ));
        for step in &frame.steps {
            match step {
                Step::Call(callee) => self.frame_text(callee, depth + 1, lines),
                Step::Event(event, gas) => {
                    let (word, what) = told(event, meanings);
                    lines.push(format!("{indent}  {word:<8} {what} [{gas}]"));
                }
            }
        }
        let end = match &frame.ended {
            Ended::Returned if frame.output.len == 0 => "returned".to_owned(),
            Ended::Returned => format!("returned {}", self.output(frame)),
            Ended::Reverted => format!("reverted: {}; its effects are undone", self.output(frame)),
            Ended::Trapped(kind, pc) => format!("trapped: {kind} (pc {pc:#x}); its effects are undone"),
        };
        lines.push(format!("{indent}  {end} [{}]", frame.gas_used));
    }

    /// Where frames stood that failed, the innermost first.
    fn stacks_text(&self, frame: &Frame, lines: &mut Vec<String>) {
        for step in &frame.steps {
            if let Step::Call(callee) = step {
                self.stacks_text(callee, lines);
            }
        }
        let Some(stack) = &frame.stack else { return };
        lines.push(String::new());
        let word = if frame.ended == Ended::Reverted {
            "reverted"
        } else {
            "trapped"
        };
        lines.push(format!("{} {word} here:", self.contract(frame)));
        lines.extend(stack_text(stack));
        if let Some(place) = came_through(stack) {
            lines.push(format!("  it came through {place}"));
        }
        if self.local(frame).is_none() {
            lines.push(
                "  there are no source lines of this contract here: run this where it was built, or give --out DIR or --program \
                 FILE"
                    .to_owned(),
            );
        }
    }

    fn functions_text(&self, lines: &mut Vec<String>) {
        for (used, rows) in self.functions() {
            lines.push(String::new());
            let contract = self.name(&used.contract, &used.code_hash);
            lines.push(format!("gas by function of {contract}"));
            lines.push(format!(
                "  {:>12} {:>12} {:>8}  function",
                "own", "total", "calls"
            ));
            for row in rows.iter().take(MOST_FUNCTIONS) {
                let total = row.total.map_or("-".to_owned(), |total| total.to_string());
                let calls = row.calls.map_or("-".to_owned(), |calls| calls.to_string());
                lines.push(format!(
                    "  {:>12} {total:>12} {calls:>8}  {}",
                    row.own,
                    on_one_line(&row.name)
                ));
            }
            if let Some(rest) = rows.get(MOST_FUNCTIONS..).filter(|rest| !rest.is_empty()) {
                let own: u64 = rest.iter().map(|row| row.own).sum();
                lines.push(format!(
                    "  {own:>12} {:>12} {:>8}  {} more functions",
                    "-",
                    "-",
                    rest.len()
                ));
            }
        }
    }

    /// What functions used, by contract in the order in which they ran, the dearest first.
    fn functions(&self) -> Vec<(&'t ContractGas, Vec<Row>)> {
        let rows = |used: &ContractGas| {
            let mut rows: Vec<_> = used
                .functions
                .iter()
                .map(|(start, function)| Row {
                    name: used.ranges.name(*start),
                    own: function.own,
                    total: Some(function.total),
                    calls: Some(function.calls),
                })
                .collect();
            let others = [
                ("(entry: pages, and text when it is new)", used.entry),
                ("(left over, and lost by the trap)", used.lost),
            ];
            rows.extend(
                others
                    .into_iter()
                    .filter(|(_, own)| *own > 0)
                    .map(|(name, own)| Row {
                        name: name.to_owned(),
                        own,
                        total: None,
                        calls: None,
                    }),
            );
            rows.sort_by(|one, other| other.own.cmp(&one.own).then_with(|| one.name.cmp(&other.name)));
            rows
        };
        let accounts = self.traced.trace.gas.iter();
        accounts.map(|used| (used, rows(used))).collect()
    }

    fn as_json(&self) -> Value {
        let traced = self.traced;
        let place = traced.place.as_ref().map(|place: &Place| {
            json!({
                "transaction_hash": place.hash,
                "block_hash": place.block_hash,
                "height": place.height,
                "index": place.index,
                "gas_charged": place.gas_charged,
            })
        });
        let functions: Vec<_> = self
            .functions()
            .into_iter()
            .map(|(used, rows)| {
                json!({
                    "contract": used.contract,
                    "program": self.locals.get(&used.code_hash).map(|local| &local.name),
                    "code_hash": used.code_hash,
                    "functions": rows.iter().map(Row::as_json).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "place": place,
            "state": traced.state,
            "outcome": outcome_word(&traced.outcome),
            "why": traced.why,
            "output": hex_text(&traced.output),
            "gas_used": traced.gas_used,
            "intrinsic_gas": traced.intrinsic,
            "gas_limit": traced.gas_limit,
            "created": traced.created,
            "logs": traced.logs,
            "frame": traced.trace.root.as_ref().map(|root| self.frame_json(root)),
            "steps_left_out": traced.trace.left_out,
            "gas": functions,
        })
    }

    fn frame_json(&self, frame: &Frame) -> Value {
        let meanings = self.meanings(frame);
        let steps: Vec<Value> = frame
            .steps
            .iter()
            .map(|step| match step {
                Step::Call(callee) => {
                    let mut step = json!({ "kind": "frame" });
                    step["frame"] = self.frame_json(callee);
                    step
                }
                Step::Event(event, gas) => event_json(event, *gas, meanings),
            })
            .collect();
        let (ended, trap) = match &frame.ended {
            Ended::Returned => ("returned", Value::Null),
            Ended::Reverted => ("reverted", Value::Null),
            Ended::Trapped(kind, pc) => ("trapped", json!({ "kind": kind, "pc": pc })),
        };
        let mut fields = json!({
            "contract": frame.contract,
            "program": self.local(frame).map(|local| &local.name),
            "code_hash": frame.code_hash,
            "caller": frame.caller,
            "is_initialiser": frame.is_initialiser,
            "value": frame.value.to_string(),
            "input": excerpt_json(&frame.input),
            "call": meanings.call(frame.is_initialiser, &frame.input),
            "gas": frame.gas,
            "gas_used": frame.gas_used,
            "entry_gas": frame.entry_gas,
            "ended": ended,
            "trap": trap,
            "output": excerpt_json(&frame.output),
            "named_output": meanings.output(frame.ended == Ended::Returned, &frame.input, &frame.output),
            "backtrace": frame.stack.as_ref().map(stack_json),
        });
        // The macro copies what it is given: everything below each frame, once a level.
        fields["steps"] = steps.into();
        fields
    }
}

/// A line of the table of gas.
struct Row {
    name: String,
    own: u64,
    total: Option<u64>,
    calls: Option<u64>,
}

impl Row {
    fn as_json(&self) -> Value {
        json!({ "function": self.name, "own": self.own, "total": self.total, "calls": self.calls })
    }
}

fn joined(lines: Vec<String>) -> String {
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// Names that a program brings along, without line ends: it would write lines of the trace itself.
fn on_one_line(name: &str) -> String {
    let is_obeyed = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        match is_obeyed(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}

/// An address that is long enough to be told from others on a screen.
fn short(address: &Address) -> String {
    let whole = address.to_string();
    match (whole.get(..10), whole.get(whole.len().saturating_sub(4)..)) {
        (Some(first), Some(last)) => format!("{first}…{last}"),
        _ => whole,
    }
}

/// An event as a word and what belongs to it.
fn told(event: &Event, meanings: Meanings<'_>) -> (&'static str, String) {
    let slot = |is_transient: bool, key: &Excerpt| {
        let (name, kind) = match is_transient {
            true => (format!("{} (transient)", bytes(key)), None),
            false => meanings.slot(key),
        };
        (name, kind)
    };
    match event {
        Event::Read {
            is_transient,
            key,
            value: found,
        } => {
            let (name, kind) = slot(*is_transient, key);
            (
                "read",
                format!("{name}: {}", value(kind.as_ref(), found.as_ref())),
            )
        }
        Event::Written {
            is_transient,
            key,
            before,
            after,
        } => {
            let (name, kind) = slot(*is_transient, key);
            let after = value(kind.as_ref(), after.as_ref());
            let what = match is_transient {
                true => format!("{name}: {after}"),
                false => format!("{name}: {after}, was {}", value(kind.as_ref(), before.as_ref())),
            };
            ("write", what)
        }
        Event::Added { key, amount } => {
            let (name, _) = meanings.slot(key);
            ("add", format!("{name}: {amount} more"))
        }
        Event::Log { topics, data } => {
            let named = meanings.event(topics, data);
            let what = named.unwrap_or_else(|| {
                let topics: Vec<_> = topics.iter().map(ToString::to_string).collect();
                format!("topics [{}] data {}", topics.join(", "), bytes(data))
            });
            ("log", what)
        }
        Event::Transfer { to, value, moved } => {
            let why = if *moved {
                ""
            } else {
                ": the balance does not cover it"
            };
            ("transfer", format!("{value} units to {to}{why}"))
        }
        Event::Refused { to, status } => {
            let to = to.map_or_else(|| "a new contract".to_owned(), |to| to.to_string());
            ("call", format!("{to} did not run: {}", refusal(*status)))
        }
    }
}

/// Why a call or a creation came to no frame.
fn refusal(of: u64) -> &'static str {
    match of {
        status::TRAPPED => "its gas does not cover the first run of the code",
        status::INSUFFICIENT_BALANCE => "the balance does not cover the value",
        status::CALL_DEPTH => "the frame would pass call_depth",
        status::NO_CODE => "there is no contract",
        status::INVALID_PROGRAM => "its code is no program of this machine",
        status::ADDRESS_COLLISION => "its address has code already",
        _ => "of a status that this build does not know",
    }
}

/// A line for each function, those that were inlined before those that they were inlined into.
fn stack_text(stack: &Stack) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, frame) in stack.backtrace.frames.iter().enumerate() {
        if frame.functions.is_empty() {
            lines.push(format!("  {number:>2}: {:#x}", frame.pc));
        }
        for (depth, function) in frame.functions.iter().enumerate() {
            let name = on_one_line(function.function.as_deref().unwrap_or("?"));
            let at = function.location.as_ref();
            let at = at.map_or(String::new(), |at| {
                format!(" at {}:{}", on_one_line(source(&at.file)), at.line)
            });
            lines.push(match depth {
                0 => format!("  {number:>2}: {name}{at}"),
                _ => format!("      inlined into {name}{at}"),
            });
        }
    }
    lines
}

/// Places in a contract's own source, those of one function together.
fn came_through(stack: &Stack) -> Option<String> {
    let mut text = String::new();
    let mut before = None;
    for frame in &stack.came_through {
        let at = frame.location.as_ref()?;
        let place = (&frame.function, &at.file);
        if before == Some(place) {
            text += &format!(", {}", at.line);
        } else {
            let separator = if before.is_some() { "; " } else { "" };
            let function = on_one_line(frame.function.as_deref().unwrap_or("?"));
            let file = on_one_line(source(&at.file));
            text += &format!("{separator}{function} at {file}:{}", at.line);
        }
        before = Some(place);
    }
    (!text.is_empty()).then_some(text)
}

fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn excerpt_json(found: &Excerpt) -> Value {
    match found.whole() {
        Some(whole) => json!(hex_text(whole)),
        None => json!({ "begins": hex_text(&found.bytes), "bytes": found.len }),
    }
}

fn event_json(event: &Event, gas: u64, meanings: Meanings<'_>) -> Value {
    let optional = |value: &Option<Excerpt>| value.as_ref().map(excerpt_json);
    let (_, text) = told(event, meanings);
    let mut fields = match event {
        Event::Read {
            is_transient,
            key,
            value,
        } => {
            json!({ "kind": "read", "transient": is_transient, "key": excerpt_json(key), "value": optional(value) })
        }
        Event::Written {
            is_transient,
            key,
            before,
            after,
        } => json!({
            "kind": "write", "transient": is_transient, "key": excerpt_json(key), "before": optional(before),
            "after": optional(after),
        }),
        Event::Added { key, amount } => {
            json!({ "kind": "add", "key": excerpt_json(key), "amount": amount.to_string() })
        }
        Event::Log { topics, data } => json!({ "kind": "log", "topics": topics, "data": excerpt_json(data) }),
        Event::Transfer { to, value, moved } => {
            json!({ "kind": "transfer", "to": to, "value": value.to_string(), "moved": moved })
        }
        Event::Refused { to, status } => {
            json!({ "kind": "refused", "to": to, "status": status, "why": refusal(*status) })
        }
    };
    fields["gas"] = gas.into();
    fields["text"] = text.into();
    fields
}

fn stack_json(stack: &Stack) -> Value {
    let frames: Vec<_> = stack
        .backtrace
        .frames
        .iter()
        .map(|frame| {
            let functions: Vec<_> = frame.functions.iter().map(place_json).collect();
            json!({ "pc": frame.pc, "found": frame.found.name(), "functions": functions })
        })
        .collect();
    let places: Vec<_> = stack.came_through.iter().map(place_json).collect();
    json!({ "frames": frames, "came_through": places })
}

fn place_json(function: &millrace_jit::image::Frame) -> Value {
    let at = function.location.as_ref();
    json!({
        "function": function.function,
        "file": at.map(|at| source(&at.file)),
        "line": at.map(|at| at.line),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millrace_jit::image;
    use millrace_jit::profile::backtrace::{self, Backtrace, Found};
    use millrace_rpc::BlockReference;

    use super::super::functions::{Ranges, Used};
    use super::super::recorder::Trace;
    use super::*;

    fn frame() -> Frame {
        Frame {
            is_initialiser: false,
            contract: Address([1; 32]),
            code_hash: Hash([2; 32]),
            caller: Address([3; 32]),
            value: 0,
            input: Excerpt::default(),
            gas: 10,
            entry_gas: Some(1),
            steps: Vec::new(),
            ended: Ended::Returned,
            output: Excerpt::default(),
            gas_used: 5,
            stack: None,
        }
    }

    fn traced(root: Frame, gas: Vec<ContractGas>) -> Traced {
        Traced {
            place: None,
            outcome: Outcome::Success,
            output: Vec::new(),
            logs: Vec::new(),
            gas_used: 5,
            intrinsic: 0,
            gas_limit: 10,
            created: None,
            why: None,
            trace: Trace {
                root: Some(root),
                left_out: 0,
                gas,
            },
            state: "executed".parse::<BlockReference>().unwrap(),
        }
    }

    #[test]
    fn names_of_a_program_write_no_lines_of_their_own() {
        let forged = "f\n  0: main at src/main.rs:1\u{2028}\t";
        let place = image::Frame {
            function: Some(forged.to_owned()),
            location: Some(image::Location {
                file: forged.to_owned(),
                line: 7,
                column: 1,
            }),
        };
        let mut root = frame();
        root.ended = Ended::Reverted;
        root.stack = Some(Stack {
            backtrace: Backtrace {
                frames: vec![backtrace::Frame {
                    pc: 4,
                    found: Found::Stopped,
                    functions: vec![place.clone(), place.clone()],
                }],
            },
            came_through: vec![place],
        });
        let used = Used::default();
        let gas = ContractGas {
            contract: root.contract,
            code_hash: root.code_hash,
            entry: 0,
            lost: 0,
            functions: [(0, used)].into(),
            ranges: Arc::new(Ranges::new([(0, 8, forged.to_owned())])),
        };
        let (traced, locals) = (traced(root, vec![gas]), Locals::default());
        let text = Shown::new(&traced, &locals).as_text();
        assert!(text.contains("f\\u{a}  0: main"), "{text}");
        assert_eq!(text.matches("\\u{2028}\\u{9}").count(), 7, "{text}");
        let forges = |line: &str| line.starts_with("  0:") || line.contains(['\t', '\u{2028}']);
        assert!(!text.lines().any(forges), "{text}");
    }

    #[test]
    fn the_deepest_frames_that_are_kept_are_printed_on_a_small_stack() {
        let mut root = frame();
        for _ in 1..super::super::recorder::MAX_DEPTH {
            let callee = std::mem::replace(&mut root, frame());
            root.steps.push(Step::Call(Box::new(callee)));
        }
        let shown = || {
            let (traced, locals) = (traced(root, Vec::new()), Locals::default());
            let shown = Shown::new(&traced, &locals);
            (shown.as_text().lines().count(), shown.as_json().to_string().len())
        };
        let thread = std::thread::Builder::new()
            .stack_size(6 << 20)
            .spawn(shown)
            .unwrap();
        let (lines, bytes) = thread.join().unwrap();
        assert!(lines > 2 * 512 && bytes > 512 * 100);
    }
}
