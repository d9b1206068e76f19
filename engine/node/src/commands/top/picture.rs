//! A drawn frame as text, and as a picture.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Pixels of a character.
const WIDTH: u32 = 9;
const HEIGHT: u32 = 18;
const PAPER: &str = "#14171c";
const INK: &str = "#d6dbe2";

/// The frame's characters, a line each, without what is blank at their ends.
pub fn text(frame: &Buffer) -> String {
    let mut text = String::new();
    for row in rows(frame) {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn rows(frame: &Buffer) -> impl Iterator<Item = &[Cell]> {
    frame.content.chunks(usize::from(frame.area.width).max(1))
}

/// The frame as SVG: the same characters with their colours, at the places that they have on a terminal.
pub fn svg(frame: &Buffer) -> String {
    let (width, height) = (
        u32::from(frame.area.width) * WIDTH,
        u32::from(frame.area.height) * HEIGHT,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"15\" xml:space=\"preserve\">\n"
    );
    for (at, row) in rows(frame).enumerate() {
        let top = at as u32 * HEIGHT;
        let mut from = 0;
        for run in row.chunk_by(|a, b| a.fg == b.fg && a.modifier == b.modifier) {
            write_run(&mut svg, run, from * WIDTH, top);
            from += run.len() as u32;
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// Cells of one style.
fn write_run(svg: &mut String, run: &[Cell], left: u32, top: u32) {
    let text: String = run.iter().map(Cell::symbol).collect();
    let is_reversed = run[0].modifier.contains(Modifier::REVERSED);
    if text.trim().is_empty() && !is_reversed {
        return;
    }
    let width = run.len() as u32 * WIDTH;
    let colour = colour(run[0].fg);
    let ink = if is_reversed { PAPER } else { colour };
    if is_reversed {
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"{colour}\"/>"
        );
    }
    let weight = if run[0].modifier.contains(Modifier::BOLD) {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let opacity = if run[0].modifier.contains(Modifier::DIM) {
        " opacity=\"0.6\""
    } else {
        ""
    };
    let base = top + HEIGHT - 5;
    // Fonts differ in width: each run is told where it ends.
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"{base}\" textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{ink}\"{weight}{opacity}>{}</text>",
        escaped(&text)
    );
}

fn colour(colour: Color) -> &'static str {
    match colour {
        Color::Green => "#7fc77f",
        Color::Yellow => "#e5c07b",
        Color::Red => "#e06c75",
        Color::Cyan => "#61b8c9",
        _ => INK,
    }
}

fn escaped(text: &str) -> String {
    // XML has no such characters, escaped or not; what a node says may hold any.
    let is_none = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.replace(is_none, "\u{fffd}")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace(' ', "\u{a0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_no_character_that_xml_forbids() {
        assert_eq!(
            escaped("a\u{1b}\u{fffe}\u{0}<&> b"),
            "a\u{fffd}\u{fffd}\u{fffd}&lt;&amp;&gt;\u{a0}b"
        );
    }
}
