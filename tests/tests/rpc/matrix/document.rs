//! `docs/spec/rpc-matrix.md`, from the table.

use std::fmt::Write as _;

use super::HEIGHTS;
use super::ethereum::{METHODS, Mapping, TAGS};
use super::table::{Cell, GROUPS, HEADERS, Place, Reference, SETTLEMENTS, TRANSACTIONS, WITHOUT};
use super::world::{Name, SITUATIONS};

const OPENING: &str = "# What each method answers for each block

<!-- Generated from `tests/tests/rpc/matrix`, where every cell is also asked of a node and its answer compared number by
number. `MILLRACE_BLESS=1 cargo test -p millrace-tests --test rpc matrix` writes it anew. -->

Execution follows finality, and settlement follows execution; so a block reference of [rpc.md](rpc.md) may name a block that
is not executed yet, and a method may know the block and not its receipt. These tables say what is answered: every method that
takes a block reference, for every kind of reference, before and after execution and after a reorg.

## The situations

```
genesis ─ 1 ─ 2 ─ 3 ─ 4 ─ 5 ─ 6 ─ 7 ─┬─ 8 ─ 9
                                     └─ 8b
```

Block 4 settles up to height 3, and 5, 6 and 7 settle nothing; 8 settles 4 and 5; 8b settles 4. K is 4. A column of the tables
is one of these situations:

";

/// The whole document.
pub fn text() -> String {
    let mut text = OPENING.to_owned();
    let columns = ["situation"].into_iter().chain(HEIGHTS).chain(["what happened"]);
    head(&mut text, columns);
    for situation in &SITUATIONS {
        let cells = [situation.title].into_iter().chain(situation.heights);
        row(&mut text, cells.chain([situation.meaning]).map(str::to_owned));
    }
    for group in GROUPS {
        let mut methods: Vec<String> = Vec::new();
        for ask in group.asks {
            let method = format!("`{}`{}", ask.method(), ask.with());
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        section(
            &mut text,
            group.title,
            &format!("{}. {}", methods.join(", "), group.meaning),
        );
        head(&mut text, titles("reference"));
        for (reference, cells) in group.rows {
            let cells = SITUATIONS.iter().zip(cells).map(|(situation, cell)| match cell {
                Cell::Block(name) if situation.lost.contains(name) => format!("{name}, lost"),
                cell => cell_words(*cell),
            });
            row(&mut text, [reference_words(*reference)].into_iter().chain(cells));
        }
    }
    without(&mut text);
    transactions(&mut text);
    finalized_chain(&mut text);
    ethereum(&mut text);
    text
}

fn without(text: &mut String) {
    let opening = "They answer the same whatever a tag names at the moment, or name the block themselves.";
    section(text, "Methods that take no block reference", opening);
    head(text, ["method", "why"]);
    for (method, why) in WITHOUT {
        row(text, [format!("`{method}`"), (*why).to_owned()]);
    }
}

fn transactions(text: &mut String) {
    let opening = "A cell is the status of `millrace_getTransactionStatus`, and the block that `millrace_getTransaction` answers \
                   if that is another. `millrace_getTransactionReceipt` has an answer where the status is `executed` or \
                   `settled`, and is null elsewhere.";
    section(text, "Transactions", opening);
    head(text, titles("transaction"));
    for located in TRANSACTIONS {
        let cells = SITUATIONS
            .iter()
            .zip(located.cells)
            .map(|(situation, (place, stored))| {
                let lost = |name: Name| {
                    if situation.lost.contains(&name) {
                        ", not canonical"
                    } else {
                        ""
                    }
                };
                match place {
                    Place::Unknown => "`unknown`".to_owned(),
                    Place::Pooled => match stored {
                        Some(name) => format!("`pooled`; found in {name}{}", lost(name)),
                        None => "`pooled`".to_owned(),
                    },
                    Place::NonceGap { expected, found } => {
                        format!("`held`: `NonceGap` expected {expected}, found {found}")
                    }
                    Place::Included(name) => format!("`included` in {name}{}", lost(name)),
                    Place::Executed(name) => format!("`executed` in {name}{}", lost(name)),
                    Place::Settled(name, by) => format!("`settled` in {name} by {by}"),
                }
            });
        row(text, [located.title.to_owned()].into_iter().chain(cells));
    }
}

fn finalized_chain(text: &mut String) {
    let block = |name: &Option<Name>| name.map_or("null".to_owned(), |name| format!("by {name}"));
    let opening = "`millrace_getSettlement`: the finalized block that settles a height.";
    section(text, "Settlements", opening);
    head(text, titles("height"));
    for (height, cells) in SETTLEMENTS {
        row(
            text,
            [height.to_string()].into_iter().chain(cells.iter().map(block)),
        );
    }
    let opening =
        "`millrace_getHeaders` of many: how far the list goes. Nothing that may be reorganized is in it.";
    section(text, "Headers", opening);
    head(text, titles("first"));
    for (first, cells) in HEADERS {
        let list = |last: &Option<Name>| match last {
            Some(last) if first.to_string() == *last => format!("{last} alone"),
            Some(last) => format!("{first} to {last}"),
            None => "an empty list".to_owned(),
        };
        row(
            text,
            [first.to_string()].into_iter().chain(cells.iter().map(list)),
        );
    }
}

fn ethereum(text: &mut String) {
    let opening = "The tags have the names that clients of Ethereum know, and nearly their meaning. What differs follows from \
                   one thing: there, a block that is known is executed.";
    section(text, "For who comes from Ethereum", opening);
    mappings(text, "tag there", TAGS);
    text.push('\n');
    mappings(text, "method there", METHODS);
}

fn mappings(text: &mut String, what: &str, mappings: &[Mapping]) {
    head(text, [what, "expected there", "here", "what differs"]);
    let quoted = |names: &str| {
        let names: Vec<String> = names.split(", ").map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    for mapping in mappings {
        let cells = [
            quoted(mapping.theirs),
            mapping.expects.to_owned(),
            quoted(mapping.ours),
        ];
        row(text, cells.into_iter().chain([mapping.differs.to_owned()]));
    }
}

fn section(text: &mut String, title: &str, opening: &str) {
    write!(text, "\n## {title}\n\n{}\n\n", wrapped(opening)).unwrap();
}

fn titles(first: &'static str) -> impl Iterator<Item = &'static str> {
    [first]
        .into_iter()
        .chain(SITUATIONS.iter().map(|situation| situation.title))
}

fn head<'a>(text: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    let cells: Vec<String> = cells.into_iter().map(str::to_owned).collect();
    let rule = "|---".repeat(cells.len());
    row(text, cells);
    writeln!(text, "{rule}|").unwrap();
}

fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    writeln!(text, "| {} |", cells.join(" | ")).unwrap();
}

fn reference_words(reference: Reference) -> String {
    match reference {
        Reference::LeftOut => "left out".to_owned(),
        Reference::Tag(tag) => format!("`{tag}`"),
        Reference::Height(height) => format!("height {height}"),
        Reference::Hash(name) => format!("hash of {name}"),
        Reference::UnknownHash => "another hash".to_owned(),
    }
}

fn cell_words(cell: Cell) -> String {
    match cell {
        Cell::Block(name) => name.to_owned(),
        Cell::Null => "null".to_owned(),
        Cell::NotExecuted { asked, executed } => format!("`NotExecuted` {asked}, {executed}"),
        Cell::Pruned { asked } => format!("`Pruned` {asked}"),
        Cell::UnknownBlock => "`UnknownBlock`".to_owned(),
        Cell::NotCanonical { lost, shared } => format!("`NotCanonical` {lost}, shared {shared}"),
        Cell::Nonce(nonce) => format!("nonce {nonce}"),
    }
}

/// Lines as long as those of other documents.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 120;
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.join("\n")
}
